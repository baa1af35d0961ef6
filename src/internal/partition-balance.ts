/**
 * Which member owns which partition: each as many as any other, or one more, and as few as possible change hands. Pure: the
 * same input gives the same answer in every process, in whatever order the members are listed. Empty without members.
 */
export function balance(
  partitions: readonly number[],
  members: readonly string[],
  current: ReadonlyMap<number, string>,
): ReadonlyMap<number, string> {
  const held = new Map<string, number[]>(members.toSorted().map((member) => [member, []]));
  const owners = new Map<number, string>();
  if (held.size === 0) return owners;
  const free: number[] = [];
  for (const partition of partitions.toSorted((left, right) => left - right)) {
    const mine = held.get(current.get(partition) ?? "");
    if (mine === undefined) free.push(partition);
    else mine.push(partition);
  }
  const share = Math.floor(partitions.length / held.size);
  let larger = partitions.length % held.size;
  // Those who hold most keep the larger shares, so that the fewest move.
  const quotas = new Map<string, number>();
  for (const [member, mine] of [...held].toSorted(([, left], [, right]) => right.length - left.length)) {
    quotas.set(member, larger > 0 ? share + 1 : share);
    larger -= 1;
    free.push(...mine.splice(quotas.get(member)!));
  }
  free.sort((left, right) => right - left);
  for (const [member, mine] of held) {
    while (mine.length < quotas.get(member)!) mine.push(free.pop()!);
    for (const partition of mine) owners.set(partition, member);
  }
  return owners;
}
