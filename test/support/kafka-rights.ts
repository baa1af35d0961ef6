import { readFileSync } from "node:fs";
import type { Broker } from "../../scripts/brokers/broker.ts";
import type { KafkaApi } from "../../src/drivers/kafka/client.ts";
import { until } from "../../src/testing/until.ts";
import { testLink } from "./kafka-session.ts";

const kinds = { topic: 2, group: 3, cluster: 4 } as const;
const operations = {
  ...{ Read: 3, Write: 4, Create: 5, Delete: 6, Describe: 8 },
  ...{ DescribeConfigs: 10, AlterConfigs: 11 },
} as const;
const [any, literal, prefixed, allow] = [1, 3, 4, 3];

interface Found {
  readonly resources: readonly { readonly resourceName: string; readonly acls: readonly unknown[] }[];
}

export interface Right {
  readonly of: keyof typeof kinds;
  readonly operation: keyof typeof operations;
}

/** What the commands of docs/kafka.md give. */
export function documentedRights(): readonly Right[] {
  const commands =
    readFileSync("docs/kafka.md", "utf8")
      .replaceAll("\\\n", " ")
      .match(/^kafka-acls\.sh.*$/gm) ?? [];
  return commands.flatMap((command) => {
    const [, of] = /--(topic|group) omnibus\./.exec(command) ?? [];
    return [...command.matchAll(/--operation (\w+)/g)].map(
      ([, operation]) => ({ of, operation }) as Right, // another word is refused by the broker
    );
  });
}

/** kafka-acls.sh --add --resource-pattern-type prefixed, by the broker's first user; resolves when the broker goes by it. */
export async function allowTo(broker: Broker, user: string, prefix: string, rights: readonly Right[]): Promise<void> {
  const { module, link } = await testLink(broker);
  try {
    const { createAclsV3, describeAclsV3 } = module as unknown as {
      readonly createAclsV3: { readonly api: KafkaApi<readonly unknown[], unknown> };
      readonly describeAclsV3: { readonly api: KafkaApi<readonly unknown[], Found> };
    };
    const creations = rights.map(({ of, operation }) => ({
      resourceType: kinds[of],
      resourceName: of === "cluster" ? "kafka-cluster" : `${prefix}.`,
      resourcePatternType: of === "cluster" ? literal : prefixed,
      principal: `User:${user}`,
      host: "*",
      operation: operations[operation],
      permissionType: allow,
    }));
    await link.ask(createAclsV3, [creations], 10_000);
    const all = { resourceType: any, resourceName: null, resourcePatternType: any, host: null, operation: any };
    const filter = { ...all, permissionType: any, principal: `User:${user}` };
    const mine = (name: string): boolean => creations.some(({ resourceName }) => resourceName === name);
    await until(async () => {
      const { resources } = await link.ask(describeAclsV3, [filter], 10_000);
      const found = resources.filter(({ resourceName }) => mine(resourceName)).flatMap(({ acls }) => acls);
      return found.length >= creations.length;
    }, "the rights to count");
  } finally {
    link.destroy();
  }
}
