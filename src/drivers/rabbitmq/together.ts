/** Resolves when all of it is done; rejects with the first failure, and not before nothing of it runs any more. */
export async function together(work: Iterable<Promise<unknown>>): Promise<void> {
  const ends = await Promise.allSettled(work);
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
