interface Node<Value> {
  readonly children: Map<string, Node<Value>>;
  any: Node<Value> | undefined;
  /** At this very node. */
  readonly here: Set<Value>;
  /** Patterns that end in `>` here: one token or more below. */
  readonly below: Set<Value>;
}

const newNode = <Value>(): Node<Value> => ({ children: new Map(), any: undefined, here: new Set(), below: new Set() });
const cacheLimit = 16_384;

/**
 * Patterns and what stands behind them, matched against topics. The work of a match grows with the topic's tokens, not with
 * the number of patterns; recent topics are remembered. Topics and patterns must be valid (topic.ts): nothing is checked here.
 */
export class TopicTrie<Value> {
  readonly #root: Node<Value> = newNode();
  readonly #cache = new Map<string, readonly Value[]>();
  #size = 0;

  /** How many pairs of pattern and value it holds. */
  get size(): number {
    return this.#size;
  }

  /** False when the pair was there already. */
  add(pattern: string, value: Value): boolean {
    const { node, below } = this.#walk(pattern, true)!;
    const values = below ? node.below : node.here;
    if (values.has(value)) return false;
    values.add(value);
    this.#size += 1;
    this.#cache.clear();
    return true;
  }

  /** True when it was there. */
  remove(pattern: string, value: Value): boolean {
    const found = this.#walk(pattern, false);
    if (found === undefined || !(found.below ? found.node.below : found.node.here).delete(value)) return false;
    this.#size -= 1;
    this.#cache.clear();
    this.#prune(this.#root, pattern.split("."), 0);
    return true;
  }

  /** Each value once, however many of its patterns match. The array is shared: not to be changed. */
  match(topic: string): readonly Value[] {
    const cached = this.#cache.get(topic);
    if (cached !== undefined) return cached;
    const found = new Set<Value>();
    collect(this.#root, topic.split("."), 0, found);
    const values = [...found];
    if (this.#cache.size >= cacheLimit) this.#cache.clear();
    this.#cache.set(topic, values);
    return values;
  }

  #walk(pattern: string, create: boolean): { readonly node: Node<Value>; readonly below: boolean } | undefined {
    let node = this.#root;
    const tokens = pattern.split(".");
    for (const [index, token] of tokens.entries()) {
      if (token === ">" && index === tokens.length - 1) return { node, below: true };
      let next = token === "*" ? node.any : node.children.get(token);
      if (next === undefined) {
        if (!create) return undefined;
        next = newNode();
        if (token === "*") node.any = next;
        else node.children.set(token, next);
      }
      node = next;
    }
    return { node, below: false };
  }

  #prune(node: Node<Value>, tokens: readonly string[], depth: number): boolean {
    const token = tokens[depth];
    if (token !== undefined && token !== ">") {
      const next = token === "*" ? node.any : node.children.get(token);
      if (next !== undefined && this.#prune(next, tokens, depth + 1)) {
        if (token === "*") node.any = undefined;
        else node.children.delete(token);
      }
    }
    return node.here.size === 0 && node.below.size === 0 && node.any === undefined && node.children.size === 0;
  }
}

function collect<Value>(node: Node<Value>, tokens: readonly string[], depth: number, found: Set<Value>): void {
  const token = tokens[depth];
  if (token === undefined) {
    for (const value of node.here) found.add(value);
    return;
  }
  for (const value of node.below) found.add(value);
  const next = node.children.get(token);
  if (next !== undefined) collect(next, tokens, depth + 1, found);
  if (node.any !== undefined) collect(node.any, tokens, depth + 1, found);
}

/** Whether one pattern matches a topic; for many patterns use the trie. */
export function matchesPattern(pattern: string, topic: string): boolean {
  const wanted = pattern.split(".");
  const tokens = topic.split(".");
  for (const [index, token] of wanted.entries()) {
    if (token === ">" && index === wanted.length - 1) return tokens.length > index;
    if (index >= tokens.length || (token !== "*" && token !== tokens[index])) return false;
  }
  return wanted.length === tokens.length;
}

/** Whether some topic matches both. */
export function overlaps(left: string, right: string): boolean {
  const a = left.split(".");
  const b = right.split(".");
  for (let index = 0; ; index += 1) {
    const one = a[index];
    const two = b[index];
    if (one === undefined || two === undefined) return one === two;
    if (one === ">" || two === ">") return true;
    if (one !== "*" && two !== "*" && one !== two) return false;
  }
}

/** Whether every topic that `inner` matches is matched by `outer` too. */
export function covers(outer: string, inner: string): boolean {
  const a = outer.split(".");
  const b = inner.split(".");
  for (let index = 0; ; index += 1) {
    const one = a[index];
    const two = b[index];
    if (one === undefined || two === undefined) return one === two;
    if (one === ">") return true;
    if (two === ">" || (one !== "*" && one !== two)) return false;
  }
}

/** The same topics by as few of these patterns: sorted, each once, none that another one covers. */
export function withoutCovered(patterns: Iterable<string>): string[] {
  const trie = new TopicTrie<string>();
  const all = [...new Set(patterns)];
  for (const pattern of all) trie.add(pattern, pattern);
  // Whatever covers a pattern matches it as if it were a topic, so few are compared.
  return all.filter((inner) => !trie.match(inner).some((outer) => outer !== inner && covers(outer, inner))).toSorted();
}
