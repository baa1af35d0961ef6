import type { Reply } from "./link.ts";

/** What scripts answer, as what it is known to be. */
export function listOf(reply: Reply): readonly Reply[] {
  return Array.isArray(reply) ? reply : [];
}

export function textOf(reply: Reply | undefined): string {
  return Buffer.isBuffer(reply) ? reply.toString() : reply === null || reply === undefined ? "" : String(reply);
}

export function textsOf(reply: Reply): readonly string[] {
  return listOf(reply).map(textOf);
}

export function numberOf(reply: Reply | undefined): number {
  return typeof reply === "number" ? reply : Number(textOf(reply));
}
