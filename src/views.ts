import type { BusEvent } from "./event.ts";
import type { Runner, Work } from "./work.ts";

/** Gives the work its handlers and what each gets of its event; `dead` says what becomes of one that a schema refuses. */
export function giveViews(
  work: Work,
  runners: readonly Runner[],
  dead: (error: unknown) => false,
): boolean | Promise<boolean> {
  work.runners = runners;
  work.events = undefined;
  try {
    const [only] = runners;
    if (runners.length === 1 && only !== undefined) {
      const event = only.view(work.envelope!);
      if (event instanceof Promise) return event.then((seen) => work.sees(seen), dead);
      return work.sees(event);
    }
    const views = runners.map((runner) => viewOf(runner, work));
    const all = (events: readonly BusEvent[]): true => {
      work.events = events;
      return true;
    };
    if (!views.some((view) => view instanceof Promise)) return all(views as BusEvent[]);
    return Promise.all(views.map(async (view) => view)).then(all, dead);
  } catch (error) {
    return dead(error);
  }
}

/** What throws at once is a promise that rejects, so that none of several is left alone. */
function viewOf(runner: Runner, work: Work): BusEvent | Promise<BusEvent> {
  try {
    return runner.view(work.envelope!);
  } catch (error) {
    return Promise.reject(error);
  }
}
