import { createHash } from "node:crypto";

export interface Script {
  readonly name: string;
  readonly source: string;
  readonly sha: string;
}

/**
 * A Lua script. It has `B` (`KEYS[1]`), `call`, `try` and its pieces at hand, its own arguments begin at `ARGV[2]`: the first is
 * the id of the database that the caller knows. With the flag line the server refuses keys of more than one slot by itself.
 */
export function script(name: string, pieces: readonly string[], body: string, allowOom = false): Script {
  const source = [allowOom ? "#!lua flags=allow-oom" : "#!lua", prologue, ...pieces, body]
    .map((part) => part.trim())
    .join("\n");
  // the name by which EVALSHA finds it
  return { name, source, sha: createHash("sha1").update(source).digest("hex") };
}

const prologue = `
local B, call, try = KEYS[1], redis.call, redis.pcall
if call('HGET', B, 'id') ~= ARGV[1] then return redis.error_reply('GONE database') end`;
