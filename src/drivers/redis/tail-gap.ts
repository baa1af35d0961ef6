import type { StartAt } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { before, compareIds, idOfTime } from "./id.ts";
import type { PartitionInfo } from "./stream-info.ts";

/** How far a tail has come in a partition. */
export interface Place {
  /** It has read everything up to and including this. */
  readonly position: string;
  /** How many entries were ever added up to there; undefined: not known. */
  readonly counted: number | undefined;
}

/** `lost`: how many went unread; undefined: some, nobody knows how many. */
export interface Found {
  readonly place: Place;
  readonly lost: number | undefined;
}

const idForm = /^\d{1,20}(-\d{1,20})?$/;

const oldest = ({ first, last, added, length }: PartitionInfo): Place => ({
  position: first === undefined ? last : before(first),
  counted: added - length,
});
const newest = ({ last, added }: PartitionInfo): Place => ({ position: last, counted: added });

/** Where to begin. A position that the stream has not reached is of another one that had its name: then at the oldest. */
export function startPlace(from: StartAt, partition: string, info: PartitionInfo): Found {
  if ("at" in from) return { place: from.at === "oldest" ? oldest(info) : newest(info), lost: 0 };
  if ("time" in from) return { place: atTime(idOfTime(from.time), info), lost: 0 };
  const position = from.positions[partition];
  if (position === undefined) return { place: oldest(info), lost: 0 };
  if (!idForm.test(position))
    throw new DriverError("BUS_INVALID_OPTION", `redis: position (${partition}): not the id of an entry`);
  if (compareIds(position, info.last) > 0) return { place: oldest(info), lost: 0 };
  if (compareIds(position, info.last) === 0) return { place: newest(info), lost: 0 };
  const gone = info.added - info.length;
  if (info.first !== undefined && compareIds(position, before(info.first)) >= 0)
    return { place: { position, counted: undefined }, lost: 0 };
  // it was before the first: what is between went
  return { place: oldest(info), lost: gone === 0 ? 0 : compareIds(position, "0-0") === 0 ? gone : undefined };
}

/** What has become of the partition since; to be asked when everything that was read is counted. */
export function placeNow({ position, counted }: Place, info: PartitionInfo): Found {
  const order = compareIds(position, info.last);
  if (order > 0) return { place: oldest(info), lost: 0 }; // made anew
  if (order === 0) return { place: newest(info), lost: counted === undefined ? 0 : Math.max(info.added - counted, 0) };
  const place = oldest(info);
  if (compareIds(position, place.position) >= 0) return { place: { position, counted }, lost: 0 };
  return { place, lost: counted === undefined ? undefined : Math.max(place.counted! - counted, 0) };
}

function atTime(position: string, info: PartitionInfo): Place {
  if (compareIds(position, info.last) >= 0) return newest(info);
  const first = oldest(info);
  return compareIds(position, first.position) <= 0 ? first : { position, counted: undefined };
}
