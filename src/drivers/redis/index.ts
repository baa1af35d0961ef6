export type { RedisClient, RedisCluster } from "./client.ts";
export type { RedisAttachment, RedisOptions, RedisSentinelOptions, RedisTlsOptions } from "./options.ts";
export { redis } from "./redis.ts";
