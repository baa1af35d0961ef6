import type { StoredMessage } from "../../driver.ts";
import type { Api } from "./api.ts";
import { ownHeader, readHeaders } from "./headers.ts";
import { readAll } from "./reader.ts";
import type { Session } from "./session.ts";
import { decodeStored, encodeStored } from "./stored-message.ts";

/** Later messages of a halted key, in order: a subject for each list. */
export class Parked {
  readonly #session: Session;
  readonly #api: Api;

  constructor({ session, api }: { readonly session: Session; readonly api: Api }) {
    this.#session = session;
    this.#api = api;
  }

  /** One after the other: when one is refused, none behind it is there. */
  async add(list: string, messages: readonly StoredMessage[]): Promise<void> {
    const { names } = this.#session;
    for (const message of messages)
      await this.#api.publish(names.parkedList(list), message.body, [
        [ownHeader.expectedStream, names.parked],
        ...encodeStored(message),
      ]);
  }

  /** The oldest. Of two who take at once each gets what it could remove. */
  async take(list: string, limit: number): Promise<readonly StoredMessage[]> {
    const { names } = this.#session;
    const source = { stream: names.parked, filters: [names.parkedList(list)], start: { seq: 1 } };
    const found = await readAll(this.#session, this.#api, source, limit);
    const ours = await Promise.all(
      found.map(({ delivery }) => this.#api.deleteMessage(names.parked, delivery.sequence)),
    );
    return found.filter((_, index) => ours[index]).flatMap(({ raw }) => decodeStored(readHeaders(raw), raw.data) ?? []);
  }
}
