/** Of struct __sk_buff (linux/bpf.h): its size, and where BPF_PROG_TEST_RUN takes what from. */
const SKB = { size: 192, ingressIfindex: 36, ifindex: 40 } as const;

/**
 * The context of a tc program that is run as at a device.
 * @param arrivedBy the device that the packet came in by; 0: none
 */
export function skbContext(ifindex: number, arrivedBy = 0): Buffer {
  const context = Buffer.alloc(SKB.size);
  context.writeUInt32LE(arrivedBy, SKB.ingressIfindex);
  context.writeUInt32LE(ifindex, SKB.ifindex);
  return context;
}
