// Somebody who listens and asks: one process in a namespace, for a world's whole life.

import { agent, type Background, type Disposers, type Namespace } from "../lib/index.js";

/** A question of reach.mjs. */
export interface Question {
  readonly protocol: "tcp" | "udp" | "icmp" | "http";
  /** An address; of "http" a URL. */
  readonly host: string;
  readonly port?: number;
  /** The own address, where the kernel shall not choose. */
  readonly from?: string;
  /** ms */
  readonly patience?: number;
  /** More to exchange after the first answer. */
  readonly size?: number;
}

/** A running reach.mjs. */
export class Peer {
  #asked = 0;

  private constructor(
    readonly namespace: Namespace,
    private readonly process: Background,
  ) {}

  /** Starts it; returns when it listens on TCP's and UDP's ports. */
  static async start(at: Namespace, ports: readonly number[], disposers: Disposers): Promise<Peer> {
    const args = ports.flatMap((port) => ["--tcp", `${port}`, "--udp", `${port}`]);
    const command = [process.execPath, agent("reach.mjs"), ...args];
    const child = at.spawn(command, { disposers, talk: true });
    await child.waitFor(/^ready$/m);
    return new Peer(at, child);
  }

  /** Asks all at once; returns the answers in the order of the questions. */
  async ask(questions: readonly Question[], timeout = 60_000): Promise<string[]> {
    const id = ++this.#asked;
    this.process.write(`${JSON.stringify({ id, questions })}\n`);
    // To the newline: `$` would match at the end of a piece as well, and the rest may be yet to come.
    const line = new RegExp(`^{"id":${id},"answers":(.*)}\\n`, "m");
    const [, answers = ""] = await this.process.waitFor(line, { timeout });
    return JSON.parse(answers) as string[];
  }
}
