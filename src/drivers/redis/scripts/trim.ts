import { script, type Script } from "../script.ts";
import { matchPiece } from "./match-piece.ts";
import { idPiece, lanePiece, timePiece } from "./pieces.ts";
import { roomPiece } from "./room.ts";

const pieces = [timePiece, lanePiece, idPiece, matchPiece, roomPiece];

/**
 * lane, partition, the lowest id that stays (empty: none has to) → how many went, and 1 when there may be more: whole nodes first,
 * so that a step stays short. Never what a group has not handled.
 */
export const trimScript: Script = script(
  "trim",
  pieces,
  `
local l, p, id = ARGV[2], ARGV[3], ARGV[4]
if not lane(l).n then return redis.error_reply('NOSTREAM ' .. l) end
local lowest = handled(l, p)
if id == '' or lt(lowest, id) then id = lowest end
local removed, more = drop(l, p, id)
return { removed, more and 1 or 0 }`,
  true,
);

/** lane → 1 when there is more that is too old. */
export const expireScript: Script = script(
  "expire",
  pieces,
  `
if not lane(ARGV[2]).n then return 0 end
return expire(ARGV[2], true) and 1 or 0`,
  true,
);
