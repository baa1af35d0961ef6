import type { Consumption, Sink, Source, Window } from "../../driver.ts";
import { replyWord } from "./errors.ts";
import { finishReset } from "./group-reset.ts";
import { Member } from "./member.ts";
import { PartShare } from "./ordered-member.ts";
import { takeSeat, type Joined } from "./seat.ts";
import type { Session } from "./session.ts";
import { WholeShare } from "./unordered-member.ts";

/** Takes a seat in the group and reads what is its share; takes another one when others took it for dead. */
export async function openGroup(
  session: Session,
  source: Source & { readonly kind: "group" },
  sink: Sink,
  window: Window,
): Promise<Consumption> {
  const { group, resume } = source;
  const joined = await join(session, group, resume);
  const again = (): Promise<Joined> => join(session, group, undefined);
  const share = joined.now.spec?.order === "group" ? PartShare : WholeShare;
  return new Member(session, group, joined, again, (host) => new share(host), sink, window);
}

/** A reset that ended in its middle is finished first. */
async function join(session: Session, group: string, resume: ReadonlyMap<string, string> | undefined): Promise<Joined> {
  for (;;) {
    try {
      return await takeSeat(session, group, resume);
    } catch (error) {
      if (replyWord(error) !== "CONFLICT") throw error;
      await finishReset(session, group);
    }
  }
}
