export type HeaderTable = Readonly<Record<string, unknown>>;

interface Names {
  readonly next: Map<string, Names>;
  table: Record<string, unknown> | undefined;
}

const mostNames = 256;

/**
 * Headers for the client, which makes what it is given the prototype of what it writes. For the engine each object that becomes a
 * prototype is a change of the program, and costs more than all else of a publish: so there is one object for all headers of the
 * same names, which is filled anew each time. What is returned holds until the next call.
 */
export class HeaderTables {
  readonly #root: Names = { next: new Map(), table: undefined };
  #count = 0;

  of(headers: HeaderTable): HeaderTable {
    const names = Object.keys(headers);
    let node = this.#root;
    for (const name of names) {
      let next = node.next.get(name);
      if (next === undefined) {
        if (this.#count >= mostNames) return headers; // names that others choose
        this.#count += 1;
        node.next.set(name, (next = { next: new Map(), table: undefined }));
      }
      node = next;
    }
    const table = (node.table ??= Object.create(null) as Record<string, unknown>);
    for (const name of names) table[name] = headers[name];
    return table;
  }
}
