/**
 * Names of a group's consumers. None ever comes twice, over a deletion or a reset either: an old reply subject settles the
 * message of a new consumer of the same name.
 */
export const consumerNames = {
  /** Or somebody else's, as the definition has it. */
  part: (
    { group, consumers }: { readonly group: string; readonly consumers?: Readonly<Record<string, string>> },
    { revision, stream }: { readonly revision: number; readonly stream?: string },
  ): string => (stream === undefined ? undefined : consumers?.[stream]) ?? `${group}=${revision}`,
  queue: ({ group, made }: { readonly group: string; readonly made: number }): string => `${group}=${made}`,
  epoch: (
    { group, first }: { readonly group: string; readonly first: number },
    partition: number,
    epoch: number,
  ): string => `${group}=${partition}=${first}_${epoch}`,
  groupOf: (name: string): string => name.split("=", 1)[0]!,
};
