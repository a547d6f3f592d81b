// What the agents answer (see test/lab/agents).

/** udp.mjs */
export interface UdpAnswer {
  readonly sent: number;
  readonly received: number;
  /** From serve.mjs: "ADDRESS PORT LENGTH" as the server saw it. */
  readonly answers: readonly string[];
  readonly errors: readonly string[];
}

/** tcp.mjs */
export interface TcpAnswer {
  /** "ADDRESS PORT" as the server saw it. */
  readonly source?: string;
  readonly echoed?: boolean;
  readonly error?: string;
}

/** http-load.mjs */
export interface LoadAnswer {
  readonly ok: number;
  readonly failed: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly bytes: number;
}

/** download.mjs */
export interface DownloadAnswer {
  readonly bytes: number;
  readonly ms: number;
  readonly error?: string;
}

/** serve.mjs, page / */
export interface SeenAs {
  readonly address: string;
  readonly port: number;
}

/** The address of "ADDRESS PORT ..." */
export const addressOf = (answer: string | undefined): string | undefined => answer?.split(" ")[0];

/** quic.mjs */
export interface QuicAnswer {
  readonly sent: number;
  readonly echoed: number;
  readonly wrong: number;
  readonly pushed: number;
  readonly stray: number;
  readonly sources: readonly string[];
}

/** resolve.mjs */
export interface ResolveAnswer {
  readonly ipv4?: readonly string[];
  readonly ipv6?: readonly string[];
  readonly text?: number;
  readonly error?: string;
}
