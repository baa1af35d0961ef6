import type { AmqpDelivery } from "./client.ts";
import { Copying } from "./copying.ts";
import type { Definitions } from "./definitions.ts";
import { classify } from "./errors.ts";
import type { Job } from "./group-setup.ts";
import { Holder } from "./holder.ts";
import type { Session } from "./session.ts";

const againMs = 200;

/** Copies the past of streams for new groups. A job is held by one process, and returned when that is gone. */
export class ReplayJobs {
  readonly #session: Session;
  readonly #definitions: Definitions;
  readonly #running = new Set<Copying>();
  #holder: Holder | undefined;
  #retry: Disposable | undefined;
  #closed = false;

  constructor(session: Session, definitions: Definitions) {
    this.#session = session;
    this.#definitions = definitions;
  }

  async start(): Promise<void> {
    const holder = await Holder.open(this.#session, {
      message: (raw) => this.#take(holder, raw),
      ended: () => this.#again(),
      cancelled: () => this.#again(),
    });
    this.#holder = holder;
    if (this.#closed) return void holder.close();
    await holder.consume(this.#session.names.own("j"), 8);
  }

  /** Another process goes on from where each is. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#retry?.[Symbol.dispose]();
    const isOurs = this.#holder?.alive === true;
    for (const each of this.#running) each.stop();
    if (isOurs) await Promise.all([...this.#running].map((each) => each.save().catch(() => undefined))); // copied again then
    await this.#holder?.close();
  }

  #again(): void {
    for (const each of this.#running) each.stop();
    if (this.#closed) return;
    this.#retry?.[Symbol.dispose]();
    this.#retry = this.#session.clock.after(againMs, () => {
      this.start().catch(() => this.#again());
    });
  }

  #take(holder: Holder, raw: AmqpDelivery): void {
    const job = parsed(raw.content);
    if (job === undefined) return holder.done(raw.fields.deliveryTag);
    const copying = new Copying(this.#session, this.#definitions, job, () => holder.alive);
    this.#running.add(copying);
    void this.#run(copying, holder, raw.fields.deliveryTag);
  }

  /** A full queue, or a line that is lost: again, from where it was. */
  async #run(copying: Copying, holder: Holder, tag: number): Promise<void> {
    let isSaid = false;
    while (holder.alive && !this.#closed) {
      try {
        await copying.run();
        holder.done(tag);
        break;
      } catch (error) {
        if (!isSaid && holder.alive) {
          isSaid = true;
          const { code } = classify(error);
          this.#session.context.warn("rabbitmq: the past of a new group is copied later", { code });
        }
        await new Promise<void>((resolve) => void this.#session.clock.after(againMs * 2, resolve));
      }
    }
    this.#running.delete(copying);
  }
}

function parsed(content: Buffer): Job | undefined {
  try {
    return JSON.parse(String(content)) as Job;
  } catch {
    return undefined;
  }
}
