import { defineConfig } from "vitest/config";

/** One project per suite. scripts/test.mjs runs them in order; `npx vitest --project unit` works alone after a build. */
export default defineConfig({
  test: {
    // Namespaces and engines take their time; what takes longer than this is worth a look.
    slowTestThreshold: 10_000,
    projects: [
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], maxWorkers: 2, testTimeout: 20_000 } },
      // Programs in the kernel, all in one network namespace: one file at a time.
      {
        test: {
          name: "bpf",
          include: ["test/bpf/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 20_000,
        },
      },
      // Each file has machines of its own, made of namespaces, and mostly waits for them.
      {
        test: {
          name: "lab",
          include: ["test/lab/**/*.test.ts"],
          maxWorkers: 3,
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
      {
        test: {
          name: "fuzz",
          include: ["test/fuzz/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      {
        test: {
          name: "vm",
          include: ["test/vm/*.test.ts"],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
      // Run by those of vm inside their machines, never on this one: an emulated processor takes its time.
      {
        test: {
          name: "guest",
          // macvlan of the lab's as well, whose programs are attached otherwise there, or by another kernel's macvlan.
          include: ["test/vm/guest/*.test.ts", "test/lab/macvlan*.test.ts"],
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 1_200_000,
        },
      },
      // The same, in a machine that counts instructions, which takes five times as long.
      {
        test: {
          name: "instructions",
          include: ["test/vm/instructions/*.test.ts"],
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 1_200_000,
        },
      },
    ],
  },
});
