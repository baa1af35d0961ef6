/** What may stand in a token of a subject and in a bucket's key as it is; `=` announces two hexadecimal digits. */
const plain = /^[\w-]+$/;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Any text as one token of a subject or a key: no two texts give the same. */
export function encodeToken(text: string): string {
  if (plain.test(text)) return text;
  if (text === "") return "=";
  let token = "";
  for (const byte of encoder.encode(text)) {
    const character = String.fromCharCode(byte);
    token += plain.test(character) ? character : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return token;
}

/** Undefined: what another program wrote there. */
export function decodeToken(token: string): string | undefined {
  if (plain.test(token)) return token;
  if (token === "=") return "";
  if (!/^(?:[\w-]|=[0-9A-F]{2})+$/.test(token)) return undefined;
  const bytes: number[] = [];
  for (let index = 0; index < token.length; index += 1) {
    if (token[index] === "=") {
      bytes.push(Number.parseInt(token.slice(index + 1, index + 3), 16));
      index += 2;
    } else bytes.push(token.charCodeAt(index));
  }
  try {
    const text = decoder.decode(Uint8Array.from(bytes));
    return encodeToken(text) === token ? text : undefined;
  } catch {
    return undefined;
  }
}

/** The part of a subject after so many tokens. */
export function afterTokens(subject: string, tokens: number): string {
  let at = 0;
  for (let count = 0; count < tokens; count += 1) {
    const dot = subject.indexOf(".", at);
    if (dot < 0) return "";
    at = dot + 1;
  }
  return subject.slice(at);
}

/** Where the lane of the queues stands for a stream's name: no stream can be called so. */
export const queueLane = "=q";

/**
 * Every name at the server, by the bus's prefix. Names of streams, groups and prefixes hold letters, digits, `-` and `_`, so
 * `=` and dots separate them; all else is encoded.
 */
export class Names {
  readonly prefix: string;
  /** JetStream streams. */
  readonly queue: string;
  readonly letters: string;
  readonly notes: string;
  readonly parked: string;
  readonly bucket: string;
  readonly bucketStream: string;

  constructor(prefix: string) {
    this.prefix = prefix;
    this.queue = `${prefix}=q`;
    this.letters = `${prefix}=l`;
    this.notes = `${prefix}=n`;
    this.parked = `${prefix}=p`;
    this.bucket = prefix;
    this.bucketStream = `KV_${prefix}`;
  }

  /** The JetStream stream of one of ours. */
  stream(stream: string): string {
    return `${this.prefix}=s=${stream}`;
  }

  /** The other way round; undefined: not one of ours. */
  streamName(native: string): string | undefined {
    const start = `${this.prefix}=s=`;
    return native.startsWith(start) ? native.slice(start.length) : undefined;
  }

  event(stream: string, partition: number, topic: string): string {
    return `${this.prefix}.s.${stream}.${partition}.${topic}`;
  }

  /** What a consumer reads: a pattern in one partition or in all. */
  eventFilter(stream: string, pattern: string, partition?: number): string {
    return `${this.prefix}.s.${stream}.${partition ?? "*"}.${pattern}`;
  }

  /** All that one of our streams captures. */
  events(stream: string): string {
    return `${this.prefix}.s.${stream}.>`;
  }

  /** Of every stream, for `STREAM.LIST`. */
  allEvents(): string {
    return `${this.prefix}.s.>`;
  }

  queued(group: string, topic: string): string {
    return `${this.prefix}.q.${group}.${topic}`;
  }

  queueFilter(group: string): string {
    return `${this.prefix}.q.${group}.>`;
  }

  allQueued(): string {
    return `${this.prefix}.q.>`;
  }

  letter(group: string, eventId: string): string {
    return `${this.prefix}.l.${group}.${encodeToken(eventId)}`;
  }

  /** Of one group, or of all. */
  letterFilter(group?: string): string {
    return group === undefined ? `${this.prefix}.l.>` : `${this.prefix}.l.${group}.>`;
  }

  /** `stream` is ours, or `queueLane`. */
  note(group: string, stream: string, sequence: number): string {
    return `${this.prefix}.n.${group}.${stream}.${sequence}`;
  }

  noteFilter(group?: string, stream?: string): string {
    if (group === undefined) return `${this.prefix}.n.>`;
    return stream === undefined ? `${this.prefix}.n.${group}.>` : `${this.prefix}.n.${group}.${stream}.*`;
  }

  /** Pieces of a letter that is too large for one message. */
  letterPiece(id: string): string {
    const slash = id.indexOf("/");
    return `${this.prefix}.p.=l.${id.slice(0, slash)}.${encodeToken(id.slice(slash + 1))}`;
  }

  /** The same by the letter's own subject. */
  pieceOf(letter: string): string {
    return `${this.prefix}.p.=l.${letter.slice(this.prefix.length + 3)}`;
  }

  letterPieces(group: string): string {
    return `${this.prefix}.p.=l.${group}.>`;
  }

  parkedFilter(): string {
    return `${this.prefix}.p.>`;
  }

  /** The subject of a bucket's key. */
  key(key: string): string {
    return `$KV.${this.bucket}.${key}`;
  }

  /** And the key of a subject. */
  keyOf(subject: string): string {
    return subject.slice(this.bucket.length + 5);
  }

  direct(topic: string): string {
    return `${this.prefix}.d.${topic}`;
  }

  request(topic: string): string {
    return `${this.prefix}.r.${topic}`;
  }

  /** What begins each of a process's inboxes. */
  inbox(random: string): string {
    return `${this.prefix}.i.${random}`;
  }
}

/** Keys of the bucket. */
export const keys = {
  layout: "layout",
  routes: "routes",
  definition: (group: string): string => `g.${group}`,
  definitions: "g.>",
  member: (id: string): string => `m.${encodeToken(id)}`,
  members: "m.>",
  owner: (group: string, stream: string, partition: number): string => `o.${group}.${stream}.${partition}`,
  owners: (group: string): string => `o.${group}.>`,
  claim: (letter: string): string => `c.${encodeToken(letter)}`,
  claims: "c.>",
  state: (bucket: string, key: string): string => `b.${encodeToken(bucket)}.${encodeToken(key)}`,
  states: (bucket: string): string => `b.${encodeToken(bucket)}.>`,
  due: (id: string): string => `e.${encodeToken(id)}`,
  dues: "e.>",
};
