/** The client throws at once, or later, at what is closed already: then there is nothing left to do. */
export function quietly(work: () => unknown): void {
  try {
    Promise.resolve(work()).catch(() => undefined);
  } catch {
    // as above
  }
}
