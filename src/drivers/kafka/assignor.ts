import { assign } from "../../internal/partition-assignment.ts";

/** What a member says of itself when it joins. */
export interface Claimant {
  readonly id: string;
  /** References that it owns, still or already, and the generation in which it was last told so. */
  readonly claims: readonly string[];
  readonly generation: number;
  /** It takes nothing more, and gives up what it has as it ends. */
  readonly stops: boolean;
}

export interface Shares {
  /** Who owns what in this generation; what moves has no owner until it was given up. */
  readonly owners: ReadonlyMap<string, string>;
  /** Who is to own it. */
  readonly targets: ReadonlyMap<string, string>;
}

/**
 * The leader's part. What a member claims stays its own, or is nobody's while it gives it up: so no partition is with two, and a
 * handler that takes its time holds up nobody else's. A claim counts if its member was never out of the group; of two claims the
 * one of the later generation. Pure: the same members give the same shares.
 */
export function share(
  lanes: ReadonlyMap<string, number>,
  members: readonly Claimant[],
  refOf: (lane: string, partition: number) => string,
): Shares {
  const claimed = new Map<string, Claimant>();
  for (const member of members) {
    for (const ref of member.claims) {
      const other = claimed.get(ref);
      if (other === undefined || other.generation < member.generation) claimed.set(ref, member);
    }
  }
  const current = new Map([...claimed].map(([ref, { id }]) => [ref, id]));
  const ids = members.flatMap(({ id, stops }) => (stops ? [] : [id])).toSorted();
  const targets = assign(lanes, ids, current, refOf);
  const owners = new Map<string, string>();
  for (const [ref, target] of targets) {
    const owner = current.get(ref);
    if (owner === undefined || owner === target) owners.set(ref, target);
  }
  return { owners, targets };
}

/** A member's part of it: what it takes now, and what it gives up as soon as nothing of it runs. */
export function partOf(
  { owners, targets }: Shares,
  member: string,
  held: ReadonlySet<string>,
): { readonly take: readonly string[]; readonly give: readonly string[] } {
  const take = [...owners].flatMap(([ref, owner]) => (owner === member && !held.has(ref) ? [ref] : []));
  const give = [...held].filter((ref) => targets.get(ref) !== member);
  return { take, give };
}
