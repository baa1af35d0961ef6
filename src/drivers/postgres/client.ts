import { DriverError } from "../../internal/driver-error.ts";
import type { CountedStream } from "./line-progress.ts";

/** What is used of a `Client` of `pg`; declared here, so that nobody's types need the package. */
export interface PgClient {
  connect(): Promise<unknown>;
  query(query: object): Promise<unknown>;
  end(): Promise<void>;
  on(event: string, listener: (...args: never[]) => void): unknown;
  removeListener(event: string, listener: (...args: never[]) => void): unknown;
  readonly connection: { readonly stream: CountedStream & { destroy(): void } };
  readonly processID?: number | null;
}

/** A client that a pool lends. */
interface LentClient extends PgClient {
  release(error?: boolean | Error): void;
}

/** What is used of a `Pool` of `pg`, which is yours. */
export interface PgPool {
  connect(): Promise<unknown>;
  on(event: "error", listener: (error: Error) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
  readonly options?: { readonly max?: number | undefined };
}

export const lent = (client: unknown): LentClient => client as LentClient;

/** What a client takes instead of a text: it is told of each row. */
interface PgQuery {
  handleDataRow(message: { readonly fields: readonly (string | null)[] }): void;
}

export interface PgModule {
  readonly Client: new (options: object) => PgClient;
  readonly Query: new (config: object) => PgQuery;
}

let loaded: Promise<PgModule> | undefined;

export function loadClient(): Promise<PgModule> {
  return (loaded ??= load());
}

async function load(): Promise<PgModule> {
  const name: string = "pg";
  try {
    const module = (await import(name)) as { readonly default?: unknown };
    return (module.default ?? module) as PgModule; // a module of the old kind
  } catch (cause) {
    loaded = undefined;
    throw new DriverError("BUS_CLIENT_MISSING", 'the driver "postgres" needs pg: npm install pg', { cause });
  }
}

/** What the server said, without what quotes values (its detail, our own functions' excepted, and the text of the statement). */
class ServerError extends Error {
  readonly code: string;
  readonly severity: string;
  readonly constraint: string | undefined;
  readonly detail: string | undefined;

  constructor(code: string, { message, severity, constraint, detail }: Said) {
    super(`${message} (${code})`);
    this.code = code;
    this.severity = severity ?? "";
    this.constraint = constraint;
    this.detail = code.startsWith("OM") ? detail : undefined;
  }
}

interface Said {
  readonly message: string;
  readonly severity?: string;
  readonly constraint?: string;
  readonly detail?: string;
}

/** Of a statement that was under way: what the client says without a code is that the line broke. */
function failed(error: unknown): unknown {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  if (code !== undefined) return clean(error);
  return new DriverError("BUS_CONNECTION", "postgres: the connection was lost", { retryable: true, cause: error });
}

/** Any error of the client's, fit to be handed on. */
export function clean(error: unknown): unknown {
  const { code, severity } = (error ?? {}) as { readonly code?: unknown; readonly severity?: unknown };
  return typeof code === "string" && typeof severity === "string" ? new ServerError(code, error as Said) : error;
}

/** Everything is a text: numbers of 64 bits stay whole, and nothing is made that is not looked at. */
const asTexts = { getTypeParser: () => (text: string) => text };

/** By a client of our own module: rows are taken as they come, without what would make results of them. `name`: kept by the server. */
export function askOwn(
  module: PgModule,
  client: PgClient,
  text: string,
  values: readonly unknown[] | undefined,
  name: string | undefined,
): Promise<readonly (readonly (string | null)[])[]> {
  return new Promise((resolve, reject) => {
    const rows: (readonly (string | null)[])[] = [];
    const callback = (error: unknown): void => (error ? reject(failed(error)) : resolve(rows));
    const query = new module.Query({
      text,
      callback,
      ...(values === undefined ? {} : { values }),
      ...(name === undefined ? {} : { name }),
    });
    query.handleDataRow = ({ fields }) => void rows.push(fields);
    void client.query(query);
  });
}

export async function ask(
  client: PgClient,
  text: string,
  values: readonly unknown[] | undefined,
): Promise<readonly (readonly (string | null)[])[]> {
  const asked = values === undefined ? { text } : { text, values };
  const result = (await client.query({ ...asked, rowMode: "array", types: asTexts }).catch((error: unknown) => {
    throw failed(error);
  })) as { readonly rows?: unknown };
  return (result.rows ?? []) as readonly (readonly (string | null)[])[];
}
