import { systemVerdict } from "../../internal/system-error.ts";

export const isState = (code: string): boolean => /^[0-9A-Z]{5}$/.test(code);

export function stateOf(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return typeof code === "string" && isState(code) && systemVerdict(code) === undefined ? code : undefined;
}

/** Classes of connection, authorisation, configuration, the system and the server itself; ends of a session one by one. */
const endings = /^(?:08|28|58|F0|XX)|^(?:25P03|3D000|53300|57P0\d)$/;

/** An error of the statement alone, which undoes it and leaves the session as it was. Servers may tell the severity in another language. */
export function ofStatement(error: unknown): boolean {
  const { severity } = (error ?? {}) as { readonly severity?: unknown };
  if (severity === "ERROR") return true;
  const state = stateOf(error);
  return state !== undefined && severity !== "FATAL" && severity !== "PANIC" && !endings.test(state);
}
