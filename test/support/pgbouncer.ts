import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { until } from "../../src/testing/until.ts";

/** On Debian: `apt-get install pgbouncer`. */
export const hasPgBouncer = (): boolean =>
  spawnSync("pgbouncer", ["--version"], { env: { PATH: `${process.env["PATH"]}:/usr/sbin` } }).status === 0;

/** PgBouncer before a server, which gives its sessions to whoever has a transaction. */
export class PgBouncer implements AsyncDisposable {
  readonly port: number;
  readonly #end: () => Promise<void>;

  private constructor(port: number, end: () => Promise<void>) {
    this.port = port;
    this.#end = end;
  }

  static async start(server: number, user: string): Promise<PgBouncer> {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), "omnibus-pgbouncer-"));
    const settings = join(folder, "pgbouncer.ini");
    writeFileSync(
      settings,
      `[databases]
* = host=127.0.0.1 port=${server} user=${user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 40
server_login_retry = 1
`,
    );
    const asRoot = process.getuid?.() === 0; // which it refuses to be
    const child = spawn("pgbouncer", ["-q", settings], {
      env: { PATH: `${process.env["PATH"]}:/usr/sbin` },
      stdio: "ignore",
      ...(asRoot ? { uid: 65_534, gid: 65_534, cwd: "/" } : {}),
    });
    if (asRoot) spawnSync("chmod", ["-R", "a+rX", folder]);
    const ended = once(child, "exit");
    const end = async (): Promise<void> => {
      child.kill("SIGKILL");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    };
    try {
      await until(() => answers(port), "PgBouncer to answer", 10_000);
    } catch (error) {
      await end();
      throw error;
    }
    return new PgBouncer(port, end);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }
}

const answers = (port: number): Promise<boolean> =>
  postgresCommand(port, "SELECT 1").then(
    () => true,
    () => false,
  );

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
