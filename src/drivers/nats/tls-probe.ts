import { readFile } from "node:fs/promises";
import { connect as connectPlain, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Clock } from "../../clock.ts";
import type { ResolvedOptions } from "./options.ts";

const patienceMs = 1_000;

/**
 * With TLS 1.3 a server refuses a client's certificate after the handshake, and the client waits until its time is up. So this
 * asks by hand: undefined when no server wants a certificate, or takes ours; else the server's alert.
 */
export async function tlsRefusal(options: ResolvedOptions, clock: Clock): Promise<Error | undefined> {
  for (const host of options.servers.hosts) {
    const refusal = await probe(host, options, clock).catch(() => undefined); // not reached: that is no refusal
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

async function probe(server: string, options: ResolvedOptions, clock: Clock): Promise<Error | undefined> {
  const colon = server.lastIndexOf(":");
  const host = server.slice(0, colon).replaceAll(/^\[|\]$/g, "");
  const plain = connectPlain(Number(server.slice(colon + 1)), host);
  const timer = clock.after(patienceMs, () => plain.destroy());
  try {
    if (options.tls?.handshakeFirst !== true) {
      const info = await firstLine(plain);
      if (!/"tls_verify":\s*true/.test(info)) return undefined;
    }
    return await handshake(plain, host, options);
  } finally {
    timer[Symbol.dispose]();
    plain.destroy();
  }
}

function firstLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    socket.on("data", (chunk) => {
      text += String(chunk);
      if (!text.includes("\n") && text.length < 65_536) return;
      socket.removeAllListeners("data");
      resolve(text);
    });
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed")));
  });
}

async function handshake(plain: Socket, host: string, { tls }: ResolvedOptions): Promise<Error | undefined> {
  const [ca, cert, key] = await Promise.all([tls?.caFile, tls?.certFile, tls?.keyFile].map((path) => read(path)));
  return await new Promise((resolve) => {
    plain.removeAllListeners();
    const secure = connectTls({
      socket: plain,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    });
    secure.once("error", (error: Error & { readonly code?: string }) =>
      resolve(/ALERT/.test(error.code ?? "") ? error : undefined),
    );
    secure.once("close", () => resolve(undefined));
    secure.on("data", () => resolve(undefined));
    plain.on("error", () => undefined);
  });
}

const read = async (path: string | undefined): Promise<Buffer | undefined> =>
  path === undefined ? undefined : await readFile(path);
