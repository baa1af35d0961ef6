import type { Headers, StoredMessage } from "../../driver.ts";
import type { Api, StoredMsg } from "./api.ts";
import { apiCode, isApiError } from "./errors.ts";
import { valueOf } from "./message.ts";
import type { Session } from "./session.ts";
import { decodeStored, encodeStored, storedHeader } from "./stored-message.ts";

interface Parts {
  readonly session: Session;
  readonly api: Api;
}

/**
 * Sequences, in the stream of parked messages, of a letter that is too large for one message: what is said of it, and its body.
 * The letter itself only points at them.
 */
export interface Pieces {
  readonly about: readonly number[];
  readonly body: readonly number[];
}

const header = "Omnibus-Pieces";
/** For the headers that a message has in any case. */
const spareBytes = 1_024;

export async function storePieces({ session, api }: Parts, letter: StoredMessage): Promise<Pieces> {
  const about = valueOf(encodeStored(letter), storedHeader)!;
  const size = Math.max(session.maxPayload - spareBytes, spareBytes);
  const store = async (bytes: Uint8Array): Promise<readonly number[]> => {
    const sequences: number[] = [];
    for (let at = 0; at < bytes.byteLength; at += size) {
      const { seq } = await api.publish(session.names.letterPiece(letter.id), bytes.subarray(at, at + size));
      sequences.push(seq);
    }
    return sequences;
  };
  return { about: await store(Buffer.from(about)), body: await store(letter.body) };
}

export const piecesHeader = (pieces: Pieces): Headers[number] => [header, JSON.stringify(pieces)];

export function piecesOf(headers: Headers): Pieces | undefined {
  try {
    const { about, body } = JSON.parse(valueOf(headers, header) ?? "") as Pieces;
    return [about, body].every((each) => Array.isArray(each) && each.every(Number.isSafeInteger))
      ? { about, body }
      : undefined;
  } catch {
    return undefined; // a letter in one piece, or another program's
  }
}

export const firstOf = ({ about, body }: Pieces): number => Math.min(...about, ...body);
export const lastOf = ({ about, body }: Pieces): number => Math.max(...about, ...body);

/** Undefined: what another program wrote there, or removed by now. */
export async function readLetter(
  parts: Parts,
  { subject, headers, body }: Pick<StoredMsg, "subject" | "headers" | "body">,
): Promise<StoredMessage | undefined> {
  const pieces = piecesOf(headers);
  if (pieces === undefined) return decodeStored(headers, body);
  const from = parts.session.names.pieceOf(subject);
  const [about, whole] = await Promise.all([read(parts, pieces.about, from), read(parts, pieces.body, from)]);
  if (about === undefined || whole === undefined) return undefined;
  return decodeStored([[storedHeader, Buffer.from(about).toString()]], whole);
}

/** Of a stream that was made again these sequences are others' pieces. */
async function read(
  { session, api }: Parts,
  sequences: readonly number[],
  subject: string,
): Promise<Uint8Array | undefined> {
  const found = await Promise.all(
    sequences.map((seq) =>
      api.message(session.names.parked, { seq }).catch((error: unknown) => {
        if (!isApiError(error, apiCode.streamNotFound)) throw error;
        return undefined; // somebody deleted it, with all of them
      }),
    ),
  );
  return found.some((each) => each?.subject !== subject) ? undefined : Buffer.concat(found.map((each) => each!.body));
}

/** Of one letter, those below a sequence. What stays because it fails goes with its event's next letter, or with the group. */
export async function dropPieces({ session, api }: Parts, id: string, below: number): Promise<void> {
  if (below <= 1) return; // 2.10 takes 1 for no sequence at all, and removes everything
  await api.purge(session.names.parked, { filter: session.names.letterPiece(id), seq: below }).catch(() => 0);
}
