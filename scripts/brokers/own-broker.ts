import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { atExit } from "./at-exit.ts";
import type { Broker, BrokerServer } from "./broker.ts";
import type { BrokerKind, BrokerPlan, Login, ServerPlan } from "./broker-kind.ts";
import { type Certificates, certificatesIn, makeCertificates } from "./certificates.ts";
import { containerCommand } from "./container-command.ts";
import { ControlledServer } from "./controlled-server.ts";
import { folderOf, type Instance, programsOf, removeInstance, writeInstance } from "./instances.ts";
import { prepareServer } from "./prepare-server.ts";
import type { ProcessState } from "./process-identity.ts";
import type { Server } from "./server.ts";
import { containerFolder, ServerContainer } from "./server-container.ts";
import { ServerProcess } from "./server-process.ts";
import { asOneOf } from "./unprivileged.ts";

const settleMs = 120_000;

/** A broker that was started here or by another process of this user: all that is known of it is in its record. */
export class OwnBroker implements Broker {
  readonly own = true;
  readonly url: string;
  readonly login: Login | undefined;
  readonly certificates: Certificates;
  readonly servers: readonly BrokerServer[];
  readonly #kind: BrokerKind;
  readonly #plan: BrokerPlan;
  readonly #folder: string;
  #instance: Instance;
  #atExit: Disposable | undefined;

  constructor(kind: BrokerKind, instance: Instance) {
    this.#kind = kind;
    this.#instance = instance;
    const { found, ports, variant, id } = instance;
    this.#folder = folderOf(id);
    const inside = found.way === "container" ? containerFolder : this.#folder;
    this.certificates = certificatesIn(join(this.#folder, "certificates"));
    this.#plan = kind.plan({
      variant,
      id,
      host: found.way === "container" ? "0.0.0.0" : "127.0.0.1",
      servers: ports.map((own, at) => ({ folder: join(inside, String(at + 1)), ports: own })),
      certificates: certificatesIn(join(inside, "certificates")),
    });
    this.url = this.#plan.url;
    this.login = this.#plan.login;
    this.servers = this.#plan.servers.map(
      (plan, at) => new ControlledServer(this.#server(plan, at), this.label, ports[at]?.[0] ?? 0, kind.readyLine),
    );
  }

  #server(plan: ServerPlan, at: number): Server {
    const { env, leaves } = plan;
    const { stopSignal, unprivileged } = this.#kind;
    const { found, id, ports, processes } = this.#instance;
    if (found.way === "container") {
      const { engine, image } = found;
      const [port = 0] = ports[at] ?? [];
      return new ServerContainer({
        engine,
        image,
        name: id,
        ...containerCommand(this.#kind, plan, containerFolder),
        env,
        port,
        folder: this.#folder,
      });
    }
    const [executable, args] = asOneOf(unprivileged, found.path, plan.args);
    return new ServerProcess({
      executable,
      args,
      env: found.env === undefined ? env : { ...env, ...found.env },
      leaves,
      stopSignal,
      programs: programsOf(found),
      folder: join(this.#folder, String(at + 1)),
      process: processes[at] ?? undefined,
      onStarted: (started) =>
        this.#change({ processes: this.#instance.processes.map((each, index) => (index === at ? started : each)) }),
    });
  }

  get label(): string {
    return this.#instance.label;
  }

  get version(): string {
    return this.#instance.found.version;
  }

  get origin(): string {
    const { found } = this.#instance;
    return found.way === "container" ? `${found.engine} ${found.image}` : found.path;
  }

  /** ISO 8601. */
  get since(): string {
    return this.#instance.since;
  }

  /** Of its servers; those that were never started have none. */
  get pids(): readonly number[] {
    return this.#instance.processes.flatMap((process) => process?.pid ?? []);
  }

  /** The process with which it ends; undefined: it is kept until it is stopped. */
  get ownerPid(): number | undefined {
    return this.#instance.owner?.pid;
  }

  #change(change: Partial<Instance>): void {
    this.#instance = { ...this.#instance, ...change };
    writeInstance(this.#instance);
  }

  #writeFiles(): void {
    makeCertificates(join(this.#folder, "certificates"));
    for (const [at, { files }] of this.#plan.servers.entries()) {
      const own = join(this.#folder, String(at + 1));
      mkdirSync(own, { recursive: true });
      for (const [name, text] of Object.entries(files)) writeFileSync(join(own, name), text, { mode: 0o600 });
    }
  }

  /** One after the other: the second may be made from the first. */
  async #prepare(): Promise<void> {
    const { found } = this.#instance;
    if (found.way !== "executable") return; // a container does it by itself
    for (const [at, plan] of this.#plan.servers.entries())
      await prepareServer(this.#kind, plan, join(this.#folder, String(at + 1)), found.path);
  }

  /** For the one that made the record; whoever only looks at a broker must not end it. */
  endWithThisProcess(): void {
    this.#atExit = atExit(() => removeInstance(this.#instance));
  }

  /** From now on it does not end with this process, but when it is stopped by name. */
  keep(): void {
    this.#change({ owner: null });
    this.#atExit?.[Symbol.dispose]();
  }

  async start(): Promise<void> {
    this.#writeFiles();
    await this.#prepare();
    await this.#all((server) => server.start());
    await this.#plan.settle?.(AbortSignal.timeout(settleMs));
  }

  async stop(): Promise<void> {
    await this.#all((server) => server.stop());
  }

  async kill(): Promise<void> {
    await this.#all((server) => server.kill());
  }

  async pause(): Promise<void> {
    await this.#all((server) => server.pause());
  }

  async resume(): Promise<void> {
    await this.#all((server) => server.resume());
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Running when all of its servers are. */
  async state(): Promise<ProcessState> {
    const states = await Promise.all(this.servers.map((server) => server.state()));
    return states.find((state) => state !== "running") ?? "running";
  }

  async logs(): Promise<string> {
    return (await Promise.all(this.servers.map((server) => server.logs()))).join("\n");
  }

  /** Rejects when all have come to an end, so that nothing is under way any more. */
  async #all(what: (server: BrokerServer) => Promise<void>): Promise<void> {
    const outcomes = await Promise.allSettled(this.servers.map(what));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    removeInstance(this.#instance);
    this.#atExit?.[Symbol.dispose]();
  }
}
