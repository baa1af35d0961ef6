import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeCertificate } from "./certificate.ts";

/** Paths of PEM files. */
export interface KeyPairFiles {
  readonly cert: string;
  readonly key: string;
}

export interface Certificates {
  /** The authority that signed all of these, but for `stranger`. */
  readonly ca: string;
  /** For localhost and 127.0.0.1. */
  readonly server: KeyPairFiles;
  readonly client: KeyPairFiles;
  /** A server's, expired. */
  readonly expired: KeyPairFiles;
  /** A server's, for another host. */
  readonly wrongHost: KeyPairFiles;
  /** An authority that nobody should trust, and a client's certificate of it. */
  readonly otherCa: string;
  readonly stranger: KeyPairFiles;
}

const dayMs = 86_400_000;

export function certificatesIn(folder: string): Certificates {
  const pair = (name: string): KeyPairFiles => ({
    cert: join(folder, `${name}.pem`),
    key: join(folder, `${name}-key.pem`),
  });
  return {
    ca: join(folder, "ca.pem"),
    server: pair("server"),
    client: pair("client"),
    expired: pair("expired"),
    wrongHost: pair("wrong-host"),
    otherCa: join(folder, "other-ca.pem"),
    stranger: pair("stranger"),
  };
}

/** Makes them where they are missing. Good for ten years, so that a kept broker's never run out. */
export function makeCertificates(folder: string): Certificates {
  const files = certificatesIn(folder);
  if (existsSync(files.ca)) return files;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const at = (days: number): Date => new Date(Date.now() + days * dayMs);
  const valid = { validFrom: at(-1), validTo: at(3_650) };
  const hosts = ["localhost", "127.0.0.1"];
  const authority = makeCertificate({ commonName: "Omnibus test authority", ...valid });
  const other = makeCertificate({ commonName: "Another authority", ...valid });
  const write = (to: KeyPairFiles, options: Partial<Parameters<typeof makeCertificate>[0]>): void => {
    const made = makeCertificate({ commonName: "omnibus-test", authority, ...valid, ...options });
    writeFileSync(to.cert, made.certificate);
    writeFileSync(to.key, made.key, { mode: 0o600 });
  };
  write(files.server, { commonName: "localhost", hosts });
  write(files.client, { commonName: "omnibus-client" });
  write(files.expired, { commonName: "localhost", hosts, validFrom: at(-10), validTo: at(-1) });
  write(files.wrongHost, { commonName: "elsewhere.example", hosts: ["elsewhere.example"] });
  write(files.stranger, { commonName: "stranger", authority: other });
  writeFileSync(files.otherCa, other.certificate);
  writeFileSync(files.ca, authority.certificate); // last: it says that the others are there
  return files;
}

/** What a server of this variant shows; undefined: it speaks no TLS. */
export function serverPair(variant: string, files: Certificates): KeyPairFiles | undefined {
  if (!/^m?tls/.test(variant)) return undefined;
  return { "tls-expired": files.expired, "tls-wrong-host": files.wrongHost }[variant] ?? files.server;
}
