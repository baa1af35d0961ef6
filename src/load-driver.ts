import type { Driver } from "./driver.ts";
import { BusError, isBusError } from "./errors.ts";
import { checkOptions, invalidOption, nearest, printable } from "./option-check.ts";

/** A driver of this package: loaded when a url names it, so that what is not used costs nothing. */
interface DriverEntry {
  readonly schemes: readonly string[];
  /** The module that its client is in, and the command that brings it. */
  readonly client: { readonly module: string; readonly install: string } | undefined;
  /** From the url without its query, the query and the section of the options. */
  load(url: string, options: Readonly<Record<string, unknown>>): Promise<Driver>;
}

const drivers: Readonly<Record<string, DriverEntry>> = {
  memory: {
    schemes: ["memory"],
    client: undefined,
    load: async (url, options) => {
      const { memory } = await import("./drivers/memory/index.ts");
      const name = restOf(url);
      return memory(name === "" ? options : { name, ...without("memory", options, "name") });
    },
  },
  postgres: {
    schemes: ["postgres", "postgresql"],
    client: { module: "pg", install: "npm install pg" },
    load: async (url, options) => {
      const { postgres } = await import("./drivers/postgres/index.ts");
      // "postgres:" alone: the options say where
      return postgres(restOf(url) === "" ? options : { ...without("postgres", options, "url"), url });
    },
  },
  redis: {
    schemes: ["redis", "rediss"],
    client: { module: "redis", install: "npm install redis" },
    load: async (url, options) => {
      const { redis } = await import("./drivers/redis/index.ts");
      // "redis:" alone: the options say where
      return redis(restOf(url) === "" ? options : { ...without("redis", options, "url"), url });
    },
  },
  rabbitmq: {
    schemes: ["amqp", "amqps"],
    client: { module: "amqplib", install: "npm install amqplib@2.3" },
    load: async (url, options) => {
      const { rabbitmq } = await import("./drivers/rabbitmq/index.ts");
      // "amqp:" alone: the options say where
      return rabbitmq(restOf(url) === "" ? options : { ...without("rabbitmq", options, "url"), url });
    },
  },
  sqlite: {
    schemes: ["sqlite"],
    client: { module: "node:sqlite", install: "a Node of at least 22.22" },
    load: async (url, options) => {
      const { sqlite } = await import("./drivers/sqlite/index.ts");
      const path = restOf(url);
      if (path === "" && options["path"] === undefined) throw invalidOption("the url needs a path: sqlite:./bus.db");
      return sqlite(
        path === "" ? { path, ...options } : { ...without("sqlite", options, "path"), path: decoded(path) },
      );
    },
  },
  nats: {
    schemes: ["nats", "tls"],
    client: { module: "@nats-io/transport-node", install: "npm install @nats-io/transport-node" },
    load: async (url, options) => {
      const { nats } = await import("./drivers/nats/index.ts");
      return nats(/^nats:(?:\/\/)?$/i.test(url) ? options : { servers: url, ...without("nats", options, "servers") });
    },
  },
  kafka: {
    schemes: ["kafka", "kafkas"],
    client: { module: "@platformatic/kafka", install: "npm install @platformatic/kafka@2.12.1" },
    load: async (url, options) => {
      const { kafka } = await import("./drivers/kafka/index.ts");
      return kafka(
        /^kafka:(?:\/\/)?$/i.test(url) ? options : { brokers: url, ...without("kafka", options, "brokers") },
      );
    },
  },
};

export const driverNames: readonly string[] = Object.keys(drivers);

/** `rediss` is another way to reach `redis`. A scheme that is none stays as it is. */
export const driverOf = (scheme: string): string =>
  driverNames.find((name) => drivers[name]?.schemes.includes(scheme)) ?? scheme;

export const schemeOf = (url: string): string => /^[a-z][a-z0-9+.-]*(?=:)/i.exec(url)?.[0].toLowerCase() ?? "unknown";

/** `sqlite:./bus.db`, `sqlite:/var/bus.db`, `sqlite:///var/bus.db` */
const restOf = (url: string): string => url.slice(url.indexOf(":") + 1).replace(/^\/\/(?=\/)/, "");

/** What the url says is not said again. */
function without(
  driver: string,
  options: Readonly<Record<string, unknown>>,
  key: string,
): Readonly<Record<string, unknown>> {
  if (options[key] !== undefined)
    throw invalidOption(`${driver}: "${key}" stands in the url already; leave the option out`);
  return options;
}

/**
 * Whether the client package of a driver is installed, so that connecting to it can be tried.
 *
 * @example
 * if (available("sqlite")) await connect("sqlite:./bus.db");
 */
export function available(driver: string): boolean {
  const entry = Object.hasOwn(drivers, driver) ? drivers[driver] : undefined;
  return entry !== undefined && (entry.client === undefined || installed(entry.client.module));
}

function installed(module: string): boolean {
  const { createRequire, isBuiltin } = process.getBuiltinModule("node:module");
  if (module.startsWith("node:")) return isBuiltin(module);
  try {
    createRequire(import.meta.url).resolve(module);
    return true;
  } catch {
    return false;
  }
}

/** The driver that a url names. Rejects with BUS_INVALID_OPTION at a scheme that is none, BUS_CLIENT_MISSING without its client. */
export async function loadDriver(
  url: string,
  sections: Readonly<Record<string, unknown>>,
  table: Readonly<Record<string, DriverEntry>> = drivers,
): Promise<Driver> {
  if (typeof url !== "string" || url === "") throw invalidOption("the url must be a string that is not empty");
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  const found = Object.entries(table).find(([, entry]) => scheme !== undefined && entry.schemes.includes(scheme));
  if (found === undefined) {
    const schemes = Object.values(table).flatMap((entry) => entry.schemes);
    const near = scheme === undefined ? undefined : nearest(scheme, schemes);
    throw invalidOption(
      `the url's scheme must be one of ${schemes.join(", ")}${scheme === undefined ? "" : `, not "${printable(scheme)}"`}${near === undefined ? "" : `; did you mean "${near}:"?`}`,
    );
  }
  const [name, entry] = found;
  if (entry.client !== undefined && !installed(entry.client.module))
    throw new BusError(
      "BUS_CLIENT_MISSING",
      `the driver "${name}" needs ${entry.client.module}: ${entry.client.install}`,
    );
  const question = url.indexOf("?");
  const section = sections[name];
  checkOptions(
    name,
    section,
    Object.fromEntries(Object.keys(Object(section) as object).map((key) => [key, () => undefined])),
  );
  const query = question < 0 ? {} : queryOf(url.slice(question + 1));
  try {
    return await entry.load(question < 0 ? url : url.slice(0, question), {
      ...query,
      ...(section as object | undefined),
    });
  } catch (error) {
    const { code, message } = Object(error) as { readonly code?: unknown; readonly message?: unknown };
    // what the driver says of its options is said in the form of the bus's already
    throw code === "BUS_INVALID_OPTION" && !isBusError(error) ? invalidOption(String(message), error) : error;
  }
}

function queryOf(text: string): Readonly<Record<string, unknown>> {
  const query = new Map<string, unknown>();
  for (const [key, value] of new URLSearchParams(text)) {
    if (query.has(key)) throw invalidOption(`the url has the option "${printable(key)}" twice`);
    query.set(key, parsed(value));
  }
  return Object.fromEntries(query);
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw invalidOption("the url has a percent sign that encodes nothing; a percent sign itself is %25");
  }
}

/** A query's values are text; what reads as a number or a truth value is one. */
function parsed(value: string): unknown {
  if (value === "true" || value === "false") return value === "true";
  return value !== "" && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
}
