import type { AttachedSchedule } from "./attached-schedule.ts";
import type { DriverAdmin, GroupState, ScheduledMessage } from "./driver.ts";
import { matchesPattern } from "./internal/topic-trie.ts";
import { Routing } from "./routing.ts";
import { groupOf } from "./scheduled-id.ts";

/** The broker's administration, and beside it what waits in the state store for its time. */
export function attachedAdmin(admin: DriverAdmin, schedule: AttachedSchedule): DriverAdmin {
  return {
    streams: () => admin.streams(),
    positions: (stream) => admin.positions(stream),
    ...(admin.trim === undefined ? {} : { trim: (stream, before) => admin.trim!(stream, before) }),
    deleteStream: async (stream) => {
      const routing = new Routing();
      routing.update(await admin.streams());
      await schedule.noteDeleted(stream);
      const deleted = await admin.deleteStream(stream);
      await forget(schedule, ({ id, topic }) => {
        const to = groupOf(id) === undefined ? routing.addressOf(topic) : undefined;
        return to?.kind === "topic" && to.stream === stream;
      });
      return deleted;
    },
    groups: async () => counted(await admin.groups(), schedule),
    members: (group) => admin.members(group),
    updateGroup: (group, reads) => admin.updateGroup(group, reads),
    ...(admin.resetGroup === undefined ? {} : { resetGroup: (group, to) => admin.resetGroup!(group, to) }),
    ...(admin.recoverGroup === undefined
      ? {}
      : { recoverGroup: (group, idleMs) => admin.recoverGroup!(group, idleMs) }),
    deleteGroup: async (group) => {
      const forgotten = await forget(schedule, ({ id }) => groupOf(id) === group);
      return (await admin.deleteGroup(group)) || forgotten > 0;
    },
    letters: (group, after, limit) => admin.letters(group, after, limit),
    letter: (id) => admin.letter(id),
    countLetters: (group) => admin.countLetters(group),
    claimLetters: (ids, token, leaseMs) => admin.claimLetters(ids, token, leaseMs),
    removeLetters: (ids, token) => admin.removeLetters(ids, token),
    scheduled: (after, limit) => schedule.list(after, limit),
    cancelScheduled: (ids) => schedule.cancel(ids),
  };
}

/** What waits for a place that is gone. How many there were. */
async function forget(schedule: AttachedSchedule, which: (message: ScheduledMessage) => boolean): Promise<number> {
  const ids: string[] = [];
  for await (const message of schedule.all()) if (which(message)) ids.push(message.id);
  return schedule.forget(ids);
}

/** What a group will read counts as waiting from its receipt on. A pattern is read from every stream that it overlaps. */
async function counted(states: readonly GroupState[], schedule: AttachedSchedule): Promise<readonly GroupState[]> {
  if (states.length === 0) return states;
  const counts = states.map(() => 0);
  for await (const { id, topic } of schedule.all()) {
    const group = groupOf(id);
    for (const [index, { spec }] of states.entries()) {
      const reads = spec.reads.some(({ patterns }) => patterns.some((pattern) => matchesPattern(pattern, topic)));
      if (group === undefined ? reads : group === spec.group) counts[index]! += 1;
    }
  }
  return states.map((state, index) => ({
    ...state,
    waiting: state.waiting + counts[index]!,
    scheduled: state.scheduled + counts[index]!,
  }));
}
