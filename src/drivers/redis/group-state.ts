import type { GroupSpec, GroupState } from "../../driver.ts";
import { compareIds, timeOfId } from "./id.ts";
import { listOf, numberOf, textOf, textsOf } from "./reply.ts";
import { laneStateScript, laterScript } from "./scripts/group-state.ts";
import type { Session } from "./session.ts";

/** Steps of 1,000 entries that a lane is looked at where patterns decide; what lies behind is not counted. */
const mostSteps = 20;

interface LaneState {
  readonly waiting: number;
  readonly inFlight: number;
  /** The lowest id that waits. */
  readonly oldest: string;
}

/** What a group has before it and in its members' hands, counted now. */
export async function groupState(session: Session, spec: GroupSpec): Promise<GroupState> {
  const { keys } = session;
  const group = keys.group(spec.group);
  const lanes = [...spec.reads.map(({ stream }) => keys.stream(stream)), keys.queue(spec.group)];
  const [later, ...states] = await Promise.all([
    session.run(laterScript, [group]),
    ...lanes.map((lane) => laneState(session, group, lane)),
  ]);
  const [givenBack = 0, published = 0, now = 0] = listOf(later).map(numberOf);
  let [waiting, inFlight, oldest] = [published, 0, ""];
  for (const state of states) {
    waiting += state.waiting;
    inFlight += state.inFlight;
    oldest = lower(oldest, state.oldest);
  }
  return {
    spec,
    waiting,
    inFlight,
    scheduled: givenBack + published,
    oldestWaitingMs: oldest === "" ? undefined : Math.max(now - timeOfId(oldest), 0),
  };
}

async function laneState(session: Session, group: string, lane: string): Promise<LaneState> {
  const state = { waiting: 0, inFlight: 0, oldest: "" };
  let rest: readonly string[] = [];
  for (let step = 0; step < mostSteps; step += 1) {
    const [waiting, inFlight, oldest, ...more] = listOf(await session.run(laneStateScript, [group, lane, ...rest]));
    state.waiting += numberOf(waiting);
    state.inFlight += numberOf(inFlight);
    state.oldest = lower(state.oldest, textOf(oldest));
    rest = textsOf(more);
    if (rest.length === 0) break;
  }
  return state;
}

const lower = (left: string, right: string): string =>
  left === "" || (right !== "" && compareIds(right, left) < 0) ? right : left;
