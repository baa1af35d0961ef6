/** Of one partition among all of a group: `events/3`. */
export const partitionKey = (stream: string, partition: number): string => `${stream}/${partition}`;
