import type { StoredMessage } from "../../driver.ts";
import type { Api, StoredMsg } from "./api.ts";
import type { Bucket } from "./bucket.ts";
import { countMatching } from "./count-matching.ts";
import { expiryHeader } from "./expiry.ts";
import { classify } from "./errors.ts";
import { ownHeader, readHeaders } from "./headers.ts";
import { dropPieces, firstOf, lastOf, piecesHeader, piecesOf, readLetter, storePieces } from "./letter-pieces.ts";
import { keys, type Names } from "./names.ts";
import { readAll } from "./reader.ts";
import type { Session } from "./session.ts";
import { encodeStored } from "./stored-message.ts";

interface Parts {
  readonly session: Session;
  readonly api: Api;
  readonly bucket: Bucket;
}

interface Claim {
  readonly token: string;
  /** By the claimer's wall clock. */
  readonly until: number;
  /** Of the letter that was claimed: one that came later under its id is another. */
  readonly sequence: number;
  /** Of one that is stored in pieces, the last of them. */
  readonly pieces?: number | undefined;
}

/** How many listed letters' places are remembered, so that a page begins after one that is gone by now. */
const mostPlaces = 10_000;
/** How long a claim outlives its letter, for those cursors in other processes. */
const rememberMs = 3_600_000;

/**
 * Written again it takes the old one's place, under a new sequence: of an event that is replayed and fails at once, the operator
 * removes the letter that was claimed and never the new one.
 */
export async function storeLetter(parts: Omit<Parts, "bucket">, letter: StoredMessage): Promise<void> {
  const { session, api } = parts;
  const { names } = session;
  const [group, eventId] = partsOf(letter.id);
  const expected = [ownHeader.expectedStream, names.letters] as const;
  try {
    await api.publish(names.letter(group, eventId), letter.body, [expected, ...encodeStored(letter)]);
  } catch (error) {
    if (!isTooLarge(error)) throw error;
    const pieces = await storePieces(parts, letter);
    await api.publish(names.letter(group, eventId), new Uint8Array(0), [expected, piecesHeader(pieces)]);
    await dropPieces(parts, letter.id, firstOf(pieces)); // of an earlier letter, or of a try that ended in between
  }
}

/** What the server took with its headers may be too large with what a letter says besides. */
const isTooLarge = (error: unknown): boolean => classify(error).code === "BUS_TOO_LARGE";

/** A letter's id is `group/event id`, and no group's name holds a slash. */
function partsOf(id: string): readonly [group: string, eventId: string] {
  const slash = id.indexOf("/");
  return [id.slice(0, slash), id.slice(slash + 1)];
}

const subjectOf = (names: Names, id: string): string => names.letter(...partsOf(id));

/** Dead letters: a subject for each, whose last message is the letter. */
export class Letters {
  readonly #parts: Parts;
  readonly #places = new Map<string, number>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async list(group: string | undefined, after: string | undefined, limit: number): Promise<readonly StoredMessage[]> {
    const { session, api } = this.#parts;
    const filter = session.names.letterFilter(group);
    const letters: StoredMessage[] = [];
    let from = after === undefined ? 1 : (await this.#placeOf(after)) + 1;
    while (letters.length < limit) {
      const wanted = limit - letters.length;
      const source = { stream: session.names.letters, filters: [filter], start: { seq: from } };
      const page = await readAll(session, api, source, wanted);
      for (const { raw, delivery } of page) {
        from = delivery.sequence + 1;
        const letter = await readLetter(this.#parts, {
          subject: raw.subject,
          headers: readHeaders(raw),
          body: raw.data,
        });
        if (letter === undefined) continue; // not ours
        this.#remember(letter.id, delivery.sequence);
        letters.push(letter);
      }
      if (page.length < wanted) break;
    }
    return letters;
  }

  async get(id: string): Promise<StoredMessage | undefined> {
    const found = await this.#find(id);
    return found === undefined ? undefined : await readLetter(this.#parts, found);
  }

  async count(group: string | undefined): Promise<number> {
    const { session, api } = this.#parts;
    const { letters: stream } = session.names;
    if (group !== undefined) return await countMatching(this.#parts, stream, [session.names.letterFilter(group)]);
    return (await api.streamInfo(stream))?.state.messages ?? 0;
  }

  /** Those that are there and that nobody else has claimed, or too long ago. */
  async claim(ids: readonly string[], token: string, leaseMs: number): Promise<readonly string[]> {
    return await those(ids, (id) => this.#claim(id, token, leaseMs));
  }

  async remove(ids: readonly string[], token: string): Promise<readonly string[]> {
    return await those(ids, async (id) => {
      const claim = await this.#parts.bucket.getJson<Claim>(keys.claim(id));
      if (claim === undefined || claim.value.token !== token) return false;
      const { sequence, pieces } = claim.value;
      const removed = await this.#parts.api.deleteMessage(this.#parts.session.names.letters, sequence);
      if (pieces !== undefined) await dropPieces(this.#parts, id, pieces + 1);
      return removed;
    });
  }

  async removeGroup(group: string): Promise<number> {
    const { api, session } = this.#parts;
    const { names } = session;
    const removed = await api.purge(names.letters, { filter: names.letterFilter(group) });
    await api.purge(names.parked, { filter: names.letterPieces(group) });
    return removed;
  }

  async #claim(id: string, token: string, leaseMs: number): Promise<boolean> {
    const { session, bucket } = this.#parts;
    const key = keys.claim(id);
    const [letter, claim] = await Promise.all([this.#find(id), bucket.getJson<Claim>(key)]);
    if (letter === undefined) return false;
    const now = session.clock.now();
    if (claim?.value.token === token) {
      if (claim.value.sequence !== letter.sequence) return false; // that one is gone
    } else if (claim?.value.sequence === letter.sequence && claim.value.until > now) return false;
    const pieces = piecesOf(letter.headers);
    const last = pieces === undefined ? undefined : lastOf(pieces);
    const value: Claim = { token, until: now + leaseMs, sequence: letter.sequence, pieces: last };
    const ttlMs = leaseMs + rememberMs;
    const options = { expect: claim?.revision ?? 0, ttlMs, headers: expiryHeader(now + ttlMs) };
    return (await bucket.putJson(key, value, options)) !== undefined;
  }

  async #find(id: string): Promise<StoredMsg | undefined> {
    const { names } = this.#parts.session;
    if (!id.includes("/")) return undefined;
    return await this.#parts.api.message(names.letters, { last_by_subj: subjectOf(names, id) });
  }

  /** Where it stood when it was listed here; it may have come again meanwhile, at the end. */
  async #placeOf(id: string): Promise<number> {
    const known = this.#places.get(id) ?? (await this.#find(id))?.sequence;
    if (known !== undefined) return known;
    return (await this.#parts.bucket.getJson<Claim>(keys.claim(id)))?.value.sequence ?? 0;
  }

  #remember(id: string, sequence: number): void {
    this.#places.delete(id);
    this.#places.set(id, sequence);
    if (this.#places.size <= mostPlaces) return;
    for (const oldest of this.#places.keys()) return void this.#places.delete(oldest);
  }
}

async function those(ids: readonly string[], test: (id: string) => Promise<boolean>): Promise<readonly string[]> {
  const done = await Promise.all(ids.map(test));
  return ids.filter((_, index) => done[index]);
}
