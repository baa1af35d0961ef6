import { DriverError } from "../../internal/driver-error.ts";
import type { Host } from "./link.ts";

export interface ParsedServers {
  readonly hosts: readonly Host[];
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

const usualPort = 9_092;

/**
 * `kafka://user:password@host:9092,other:9092`, `kafkas:` for TLS, or a list of `host:port`. What it throws never holds what was
 * given, in which a password may stand.
 */
export function parseServers(given: string | readonly string[]): ParsedServers {
  if (typeof given !== "string") return { ...nobody, hosts: given.map((each) => hostOf(each)) };
  const url = /^(kafkas?):\/\/(.*?)\/?$/is.exec(given);
  if (url === null) {
    if (given.includes("://")) throw invalid();
    return { ...nobody, hosts: given.split(",").map((each) => hostOf(each)) };
  }
  const [, scheme = "", rest = ""] = url;
  const at = rest.lastIndexOf("@");
  const login = at < 0 ? "" : rest.slice(0, at);
  const colon = login.indexOf(":");
  const hosts = rest.slice(at + 1);
  return {
    hosts: (hosts === "" ? "127.0.0.1" : hosts).split(",").map((each) => hostOf(each)),
    tls: scheme.toLowerCase() === "kafkas",
    username: login === "" ? undefined : decoded(colon < 0 ? login : login.slice(0, colon)),
    password: colon < 0 ? undefined : decoded(login.slice(colon + 1)),
  };
}

const nobody = { tls: false, username: undefined, password: undefined };

function hostOf(text: string): Host {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:/@?#[\]]+))(?::(\d{1,5}))?$/i.exec(text.trim());
  const port = Number(match?.[3] ?? usualPort);
  if (match === null || port < 1 || port > 65_535) throw invalid();
  return { host: match[1] ?? match[2] ?? "", port };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new DriverError(
      "BUS_INVALID_OPTION",
      "kafka: a url's user or password has a percent sign that encodes nothing; a percent sign itself is %25",
    );
  }
}

const invalid = (): DriverError =>
  new DriverError(
    "BUS_INVALID_OPTION",
    "kafka: brokers must look like kafka://user:password@host:9092,other:9092, kafkas: for TLS, or host:9092",
  );
