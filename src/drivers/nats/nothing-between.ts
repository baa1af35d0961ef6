import type { Api } from "./api.ts";

/**
 * Whether nothing on these subjects (none: on any) is stored from `first` to `last`. Asked of the stream's leader: what a consumer counts
 * is a moment behind what is stored, and one that was made on a follower which lags is as far behind as that.
 */
export async function nothingBetween(
  api: Api,
  stream: string,
  filters: readonly string[],
  first: number,
  last: number,
): Promise<boolean> {
  if (last < first) return true;
  for (const filter of filters.length === 0 ? [">"] : filters) {
    const found = await api.message(stream, { seq: Math.max(first, 1), next_by_subj: filter });
    if (found !== undefined && found.sequence <= last) return false;
  }
  return true;
}
