import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Files that wait for brokers which stop and start, the suites that every driver passes, ten minutes of load: minutes each. */
const slow = [
  ...["/test/recovery/", "/test/conformance/", "/test/demo/", "/test/deploy/"],
  ...["/test/postgres/steady-load", "/test/core/halt-key-crash"],
];
const rank = ({ moduleId }: TestSpecification): number => (slow.some((folder) => moduleId.includes(folder)) ? 0 : 1);

/** The slow ones first, so that no worker is left alone with one at the end. */
export class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((left, right) => rank(left) - rank(right));
  }
}
