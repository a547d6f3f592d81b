/**
 * What we take from the engine's answers, by API field name; everything else is ignored. Fields that some version from
 * 1.41 to 1.52 leaves out are optional; lists and maps may be null, as Go writes empty ones.
 */
import { z } from "zod";

const text = (max: number) => z.string().max(max);
const id = z.string().regex(/^[0-9a-f]{64}$/);
const labels = z.record(text(4096), text(65536)).nullish();

export const versionSchema = z.object({
  Version: text(128).optional(),
  ApiVersion: z.string().regex(/^\d{1,3}\.\d{1,3}$/),
  MinAPIVersion: z
    .string()
    .regex(/^\d{1,3}\.\d{1,3}$/)
    .optional(),
});

export const networkSchema = z.object({
  Id: text(128).min(1),
  Name: text(1024).min(1),
  Driver: text(256).optional(),
  Internal: z.boolean().optional(),
  EnableIPv6: z.boolean().optional(),
  IPAM: z
    .object({
      Config: z
        .array(z.object({ Subnet: text(64).optional(), Gateway: text(64).optional() }))
        .max(64)
        .nullish(),
    })
    .nullish(),
  Options: z.record(text(4096), text(4096)).nullish(),
  Labels: labels,
});

const endpointSettings = z.object({
  NetworkID: text(128).optional(),
  EndpointID: text(128).optional(),
  IPAddress: text(64).optional(),
  IPPrefixLen: z.number().int().min(0).max(128).optional(),
  Gateway: text(64).optional(),
  GlobalIPv6Address: text(64).optional(),
  GlobalIPv6PrefixLen: z.number().int().min(0).max(128).optional(),
  IPv6Gateway: text(64).optional(),
  MacAddress: text(64).optional(),
  GwPriority: z.number().int().optional(),
});

const networks = z.record(text(1024), endpointSettings.nullable()).nullish();

/** Of GET /networks/ID: who is on it, by the container's id. */
export const attachmentsSchema = z.object({ Containers: z.record(text(256), z.unknown()).nullish() });

/** One of them. */
export const attachmentSchema = z.object({ Name: text(1024).optional(), EndpointID: text(128).optional() });

const portBinding = z.object({ HostIp: text(64).optional(), HostPort: text(16).optional() });

export const containerSchema = z.object({
  Id: id,
  Name: text(1024).min(1),
  State: z.object({ Running: z.boolean(), Paused: z.boolean().optional() }),
  Config: z.object({ Labels: labels }).nullish(),
  HostConfig: z.object({ NetworkMode: text(1024).optional() }).nullish(),
  NetworkSettings: z
    .object({
      SandboxKey: text(4096).optional(),
      Ports: z.record(text(32), z.array(portBinding).max(1024).nullable()).nullish(),
      Networks: networks,
    })
    .nullish(),
});

/** A line of GET /events. 20.10 to 29 agree on these. */
export const eventSchema = z.object({
  Type: text(64),
  Action: text(1024),
  Actor: z
    .object({ ID: text(256).optional(), Attributes: z.record(text(4096), text(65536)).nullish() })
    .optional(),
  timeNano: z.number().optional(),
});

export type RawNetwork = z.infer<typeof networkSchema>;
export type RawContainer = z.infer<typeof containerSchema>;

/** A zod error on one line: "NetworkSettings.Ports: expected record". At most three of its issues. */
export function issuesLine(error: z.ZodError): string {
  return error.issues
    .slice(0, 3)
    .map((issue) => `${issue.path.map(String).join(".").slice(0, 200) || "(top)"}: ${issue.message}`)
    .join("; ");
}
