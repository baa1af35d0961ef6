import { byKey, lockOf, nowMs, type DatabaseFunction } from "./append.ts";

/** Positions that a claim looks at in each partition, wanted or not, and so the most bits that a run has. */
const scan = 4_096;
/** How long a released message waits for another member that has no room before those who released it may have it again. */
const preferOthersMs = 10_000;

/** What the rows of an answer are. */
export const claimKinds = {
  group: 0,
  run: 1,
  claimed: 2,
  held: 3,
  lost: 4,
  due: 5,
  more: 6,
  old: 8,
  unseated: 9,
} as const;

/**
 * Takes messages of an unordered group into a member's hands: what is due, what others left, then what is new, in rows of one form.
 * A run's row comes before its messages. Under the group's lock, shared: a takeover is before it or after it.
 */
export const claimFunction: DatabaseFunction = {
  takes: "bigint, int, int, bigint, text, int[], text[], int, int, bigint, int[], smallint[]",
  text: `CREATE FUNCTION {1:claim}(
  of_member bigint, of_session int, of_grp int, known bigint, self text, streams int[], patterns text[], turn int, most int, most_bytes bigint,
  paused_streams int[], paused_parts smallint[]
) RETURNS TABLE (o_kind int, o_id bigint, o_stream int, o_partition smallint, o_seq bigint, o_last bigint, o_deliveries int,
  o_attempts int, o_notes text, o_avoid text, o_topic text, o_key text, o_headers text, o_body bytea
) LANGUAGE plpgsql VOLATILE ${byKey} AS $claim$
#variable_conflict use_column
DECLARE
  now_ms bigint := ${nowMs}; v bigint; g_roster bigint; h record; c record; r record; row_ record; lost bigint := 0; expired bigint := 0;
  ps int[]; pp smallint[]; starts bigint[]; n int; i int; at_ int; claimed_ bigint; was bigint; bits bytea; width int; split bigint;
  more boolean := false; due_ bigint; new_id bigint;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM pg_advisory_xact_lock_shared(${lockOf("group", "of_grp")});
  SELECT version, roster INTO v, g_roster FROM {grp} WHERE id = of_grp;
  IF NOT FOUND THEN RETURN; END IF;
  SELECT session INTO i FROM {member} WHERE id = of_member;
  IF NOT FOUND THEN o_kind := ${claimKinds.unseated}; RETURN NEXT; RETURN; END IF;
  IF i <> of_session THEN o_kind := ${claimKinds.old}; RETURN NEXT; RETURN; END IF;
  o_kind := ${claimKinds.group}; o_id := v; o_seq := g_roster; RETURN NEXT;
  FOR row_ IN
    WITH l AS (SELECT stream, partition, lost FROM {place} WHERE grp = of_grp AND lost > 0 FOR UPDATE SKIP LOCKED)
    UPDATE {place} p SET lost = 0 FROM l WHERE p.grp = of_grp AND p.stream = l.stream AND p.partition = l.partition RETURNING l.lost AS lost
  LOOP lost := lost + row_.lost; END LOOP;

  IF v = known AND most > 0 THEN
    FOR h IN SELECT * FROM {held} WHERE grp = of_grp AND member IS NULL AND due <= now_ms
        AND (CASE WHEN avoid IS NOT NULL AND strpos(avoid, self) > 0 AND not_before IS NOT NULL
                  THEN greatest(due + ${preferOthersMs}, not_before) ELSE due END) <= now_ms
      ORDER BY due LIMIT most FOR UPDATE SKIP LOCKED
    LOOP
      SELECT l.topic, l.key, l.headers, l.body INTO row_ FROM {log} l JOIN {part} p ON p.stream = l.stream AND p.partition = l.partition
        WHERE l.stream = h.stream AND l.partition = h.partition AND l.seq = h.seq AND l.seq >= p.first;
      IF NOT FOUND THEN
        DELETE FROM {held} WHERE grp = of_grp AND stream = h.stream AND partition = h.partition AND seq = h.seq;
        lost := lost + 1;
        CONTINUE;
      END IF;
      UPDATE {held} SET member = of_member, deliveries = deliveries + 1
        WHERE grp = of_grp AND stream = h.stream AND partition = h.partition AND seq = h.seq;
      RETURN QUERY SELECT ${claimKinds.held}, NULL::bigint, h.stream, h.partition, h.seq, CASE WHEN h.avoid IS NULL THEN h.not_before END,
        h.deliveries + 1, h.attempts, h.headers, h.avoid, row_.topic, row_.key, row_.headers, row_.body;
      most := most - 1; most_bytes := most_bytes - octet_length(row_.body);
      EXIT WHEN most <= 0 OR most_bytes <= 0;
    END LOOP;

    FOR c IN SELECT * FROM {claim} WHERE grp = of_grp AND member IS NULL ORDER BY stream, partition, first LIMIT 64 FOR UPDATE SKIP LOCKED
    LOOP
      IF most <= 0 OR most_bytes <= 0 THEN more := true; EXIT; END IF;
      SELECT count(*) AS many, max(seq) AS last_seq, coalesce(max(so_far), 0) AS bytes INTO r
        FROM (SELECT l.seq, octet_length(l.body) AS size, sum(octet_length(l.body)) OVER (ORDER BY l.seq) AS so_far
                FROM {log} l JOIN {part} p ON p.stream = l.stream AND p.partition = l.partition
                WHERE l.stream = c.stream AND l.partition = c.partition AND l.seq >= c.low AND l.seq <= c.last AND l.seq >= p.first
                  AND get_bit(c.done, (l.seq - c.first)::int) = 0
                ORDER BY l.seq LIMIT most) s
        WHERE so_far - size < most_bytes;
      bits := c.done;
      IF r.many < most AND r.bytes < most_bytes THEN
        split := c.last;
      ELSE
        -- what does not fit stays as it was; bits that are no message's are set, so that the others can be counted
        split := r.last_seq;
        more := true;
        FOR k IN 0 .. (split - c.first)::int LOOP bits := set_bit(bits, k, 1); END LOOP;
        IF bit_count(bits) < octet_length(bits) * 8 THEN
          INSERT INTO {claim} (grp, stream, partition, first, last, low, done, deliveries, member)
            VALUES (of_grp, c.stream, c.partition, c.first, c.last, split + 1, bits, c.deliveries, NULL);
        END IF;
        bits := substring(c.done FOR ((split - c.first) / 8 + 1)::int);
        FOR k IN (split - c.first + 1)::int .. octet_length(bits) * 8 - 1 LOOP bits := set_bit(bits, k, 1); END LOOP;
      END IF;
      UPDATE {claim} SET member = of_member, deliveries = c.deliveries + 1, last = split, done = bits WHERE id = c.id;
      RETURN QUERY SELECT ${claimKinds.run}, c.id, c.stream, c.partition, c.first, split, c.deliveries + 1, 0, NULL, NULL, NULL, NULL, NULL, bits;
      RETURN QUERY SELECT ${claimKinds.claimed}, c.id, c.stream, c.partition, l.seq, NULL::bigint, c.deliveries + 1, 0, NULL, NULL, l.topic, l.key, l.headers, l.body
        FROM {log} l JOIN {part} p ON p.stream = l.stream AND p.partition = l.partition
        WHERE l.stream = c.stream AND l.partition = c.partition AND l.seq >= c.low AND l.seq <= split AND l.seq >= p.first
          AND get_bit(bits, (l.seq - c.first)::int) = 0
        ORDER BY l.seq;
      most := most - r.many; most_bytes := most_bytes - r.bytes;
    END LOOP;

    SELECT array_agg(q.stream), array_agg(q.partition), array_agg(q.start) INTO ps, pp, starts
      FROM (SELECT p.stream, p.partition, p.start,
                   (SELECT l.seq FROM {log} l WHERE l.stream = p.stream AND l.partition = p.partition ORDER BY l.seq DESC LIMIT 1) AS newest,
                   (SELECT c.seq FROM {claimed} c WHERE c.grp = of_grp AND c.stream = p.stream AND c.partition = p.partition ORDER BY c.seq DESC LIMIT 1) AS was
              FROM {place} p WHERE p.grp = of_grp ORDER BY p.stream, p.partition) q
      WHERE q.newest > coalesce(q.was, q.start);
    n := coalesce(cardinality(ps), 0);
    FOR step IN 0 .. n - 1 LOOP
      IF most <= 0 OR most_bytes <= 0 THEN more := true; EXIT; END IF;
      i := (turn + step) % n + 1;
      at_ := array_position(streams, ps[i]);
      CONTINUE WHEN at_ IS NULL;
      CONTINUE WHEN EXISTS (SELECT FROM unnest(paused_streams, paused_parts) AS u(s, p) WHERE u.s = ps[i] AND u.p = pp[i]);
      IF NOT pg_try_advisory_xact_lock(${lockOf("claim", "of_grp")} + (ps[i] * 61 + pp[i]) % 4096) THEN more := true; CONTINUE; END IF;
      SELECT seq INTO was FROM {claimed} WHERE grp = of_grp AND stream = ps[i] AND partition = pp[i] ORDER BY seq DESC LIMIT 1;
      claimed_ := coalesce(was, starts[i]);
      SELECT * INTO r FROM {1:read}(ps[i], pp[i], claimed_, ${scan}, most, most_bytes, patterns[at_]);
      expired := expired + r.expired;
      more := more OR r.reached < r.newest;
      IF r.reached > claimed_ THEN
        INSERT INTO {claimed} (grp, stream, partition, seq) VALUES (of_grp, ps[i], pp[i], r.reached);
        DELETE FROM {claimed} WHERE grp = of_grp AND stream = ps[i] AND partition = pp[i] AND seq = was;
      END IF;
      CONTINUE WHEN r.seqs IS NULL;
      width := (r.seqs[cardinality(r.seqs)] - r.seqs[1])::int + 1;
      IF cardinality(r.seqs) = width THEN
        bits := decode(repeat('00', (width + 7) / 8), 'hex');
        FOR k IN width .. (width + 7) / 8 * 8 - 1 LOOP bits := set_bit(bits, k, 1); END LOOP;
      ELSE
        bits := decode(repeat('ff', (width + 7) / 8), 'hex');
        FOR k IN 1 .. cardinality(r.seqs) LOOP bits := set_bit(bits, (r.seqs[k] - r.seqs[1])::int, 0); END LOOP;
      END IF;
      INSERT INTO {claim} (grp, stream, partition, first, last, low, done, deliveries, member)
        VALUES (of_grp, ps[i], pp[i], r.seqs[1], r.seqs[cardinality(r.seqs)], r.seqs[1], bits, 1, of_member) RETURNING id INTO new_id;
      RETURN QUERY SELECT ${claimKinds.run}, new_id, ps[i], pp[i], r.seqs[1], r.seqs[cardinality(r.seqs)], 1, 0, NULL, NULL, NULL, NULL, NULL, bits;
      RETURN QUERY SELECT ${claimKinds.claimed}, new_id, ps[i], pp[i], l.seq, NULL::bigint, 1, 0, NULL, NULL, l.topic, l.key, l.headers, l.body
        FROM {log} l WHERE l.stream = ps[i] AND l.partition = pp[i] AND l.seq >= r.seqs[1] AND l.seq <= r.seqs[cardinality(r.seqs)]
          AND (cardinality(r.seqs) = width OR get_bit(bits, (l.seq - r.seqs[1])::int) = 0)
        ORDER BY l.seq;
      most := most - cardinality(r.seqs); most_bytes := most_bytes - r.bytes;
    END LOOP;
  END IF;

  o_id := NULL; o_stream := NULL; o_partition := NULL;
  IF lost > 0 THEN o_kind := ${claimKinds.lost}; o_seq := lost; o_attempts := 0; RETURN NEXT; END IF;
  IF expired > 0 THEN o_kind := ${claimKinds.lost}; o_seq := expired; o_attempts := 1; RETURN NEXT; END IF;
  SELECT due INTO due_ FROM {held} WHERE grp = of_grp AND member IS NULL AND avoid IS NULL ORDER BY due LIMIT 1;
  -- those that were released are few
  SELECT least(due_, min(CASE WHEN strpos(avoid, self) > 0 AND not_before IS NOT NULL
                              THEN greatest(due + ${preferOthersMs}, not_before) ELSE due END)) INTO due_
    FROM {held} WHERE grp = of_grp AND member IS NULL AND avoid IS NOT NULL;
  IF due_ IS NOT NULL THEN o_kind := ${claimKinds.due}; o_seq := greatest(0, due_ - now_ms); RETURN NEXT; END IF;
  IF more THEN o_kind := ${claimKinds.more}; RETURN NEXT; END IF;
END $claim$`,
};
