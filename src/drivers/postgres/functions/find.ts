import { byKey, cancelledFrom, type DatabaseFunction } from "./append.ts";

/**
 * Where messages with these ids stand already: partition and position, neither of one that waits for its time or was cancelled.
 * An id that was stored, or cancelled, longer ago than the window is taken off its message, so that it may be used again.
 */
export const findFunction: DatabaseFunction = {
  takes: "int, bytea[], bigint",
  text: `CREATE FUNCTION {1:find}(of_stream int, brokers bytea[], window_ms bigint)
RETURNS TABLE (at_index int, at_partition smallint, at_seq bigint) LANGUAGE plpgsql VOLATILE ${byKey} AS $find$
DECLARE old bigint := floor(extract(epoch FROM clock_timestamp()) * 1000) - window_ms;
BEGIN
  UPDATE {log} SET broker = NULL WHERE stream = of_stream AND broker = ANY (brokers) AND at <= old;
  DELETE FROM {delayed} WHERE stream = of_stream AND broker = ANY (brokers) AND due BETWEEN ${cancelledFrom} AND ${cancelledFrom} + old;
  RETURN QUERY SELECT b.i::int, l.partition, l.seq FROM unnest(brokers) WITH ORDINALITY b(id, i)
    JOIN {log} l ON l.stream = of_stream AND l.broker = b.id
    UNION ALL SELECT b.i::int, NULL, NULL FROM unnest(brokers) WITH ORDINALITY b(id, i)
    JOIN {delayed} d ON d.stream = of_stream AND d.broker = b.id;
END $find$`,
};
