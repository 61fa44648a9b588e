/**
 * Random views and random events for property tests. A view comes as two texts: as a user writes it, and as plain
 * DuckDB shall run it (`avg` written as sum / count, nothing else differs). Generated views are meant to be accepted,
 * never to overflow, and to leave no ties: an ordered one is ordered by all its columns.
 */

import fc from 'fast-check'

export interface RandomView {
  readonly view: string
  readonly oracle: string
}

/** A text for the user and one for the oracle. */
type Both = readonly [view: string, oracle: string]

const same = (text: string): Both => [text, text]
const both = (make: (pick: (pair: Both) => string) => string): Both => [
  make((pair) => pair[0]),
  make((pair) => pair[1]),
]

const integer = fc.constantFrom(
  'n',
  'n + 1',
  'n % 3',
  'n * 2',
  'coalesce(n, 0)',
  'len(tags)',
  'big % 7',
  'abs(n)',
  'hour(ts)',
)
const text = fc.constantFrom(
  'user_id',
  'kind',
  'upper(kind)',
  "user_id || '-' || kind",
  'left(user_id, 1)',
  "coalesce(meta->>'a', '?')",
  'address.city',
  'tags[1]',
  "array_to_string(list_transform(tags, lambda t: t || '!'), '')",
)
const decimal = fc.constantFrom('amount', 'amount * 2', 'amount + n', '-amount', 'round(amount, 1)')
const time = fc.constantFrom(
  "date_trunc('day', ts)",
  "time_bucket(INTERVAL '6 hours', ts)",
  'day',
  'ts',
  'ts::DATE',
)
const condition: fc.Arbitrary<string> = fc.letrec<{ condition: string }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 2 },
    {
      weight: 4,
      arbitrary: fc.constantFrom(
        'ok',
        'ok IS NULL',
        "kind = 'buy'",
        "kind IN ('buy', 'click')",
        'n > 1',
        'n BETWEEN 0 AND 3',
        'amount >= 10.5',
        "user_id LIKE 'a%'",
        'len(tags) > 0',
        "list_contains(tags, 'a')",
        'x IS NOT NULL',
      ),
    },
    { weight: 1, arbitrary: tie('condition').map((inner) => `NOT (${inner})`) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(tie('condition'), fc.constantFrom('AND', 'OR'), tie('condition'))
        .map(([a, op, b]) => `(${a} ${op} ${b})`),
    },
  ),
})).condition

const scalar = fc.oneof(
  integer,
  text,
  time,
  decimal,
  condition,
  fc.tuple(condition, integer, integer).map(([when, a, b]) => `CASE WHEN ${when} THEN ${a} ELSE ${b} END`),
  fc.constantFrom('tags', 'address', 'id', 'x', 'meta', 'big::HUGEINT * 3', '{a: n, b: kind}'),
)

/** Mostly coarse, so that groups have several events. */
const key = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom('kind', 'user_id', 'ok', 'n % 3', "date_trunc('day', ts)", 'lower(user_id)'),
  },
  { weight: 1, arbitrary: scalar },
)

const filter = fc
  .option(condition, { nil: undefined, freq: 1 })
  .map((inner) => (inner === undefined ? '' : ` FILTER (WHERE ${inner})`))

const aggregate: fc.Arbitrary<Both> = fc.oneof(
  filter.map((f) => same(`count(*)${f}`)),
  fc.tuple(scalar, filter).map(([a, f]) => same(`count(${a})${f}`)),
  fc.tuple(scalar, filter).map(([a, f]) => same(`count(DISTINCT ${a})${f}`)),
  fc.tuple(fc.oneof(integer, decimal), filter).map(([a, f]) => same(`sum(${a})${f}`)),
  fc.tuple(fc.oneof(integer, decimal), filter).map(([a, f]) => same(`sum(DISTINCT ${a})${f}`)),
  fc
    .tuple(fc.oneof(integer, decimal), fc.constantFrom('', 'DISTINCT '), filter)
    .map(([a, d, f]): Both => [`avg(${d}${a})${f}`, `(sum(${d}${a})${f} / count(${d}${a})${f})`]),
  fc
    .tuple(
      fc.constantFrom('min', 'max'),
      fc.oneof(integer, text, decimal, time, fc.constantFrom('x', 'tags', '{at_: ts, e: event_id}')),
      filter,
    )
    .map(([name, a, f]) => same(`${name}(${a})${f}`)),
  fc
    .tuple(fc.constantFrom('bool_and', 'bool_or'), condition, filter)
    .map(([name, a, f]) => same(`${name}(${a})${f}`)),
)

const aggregateExpression: fc.Arbitrary<Both> = fc.oneof(
  { weight: 4, arbitrary: aggregate },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.oneof(integer, decimal), filter)
      .map(([a, f]) => same(`coalesce(sum(${a})${f}, 0) * 2 + count(*)`)),
  },
  { weight: 1, arbitrary: filter.map((f) => same(`CASE WHEN count(*)${f} > 2 THEN 'many' ELSE 'few' END`)) },
)

const source = fc.oneof(
  fc.constant({ with: '', from: 'events' }),
  condition.map((c) => ({ with: `WITH chosen AS (SELECT * FROM events WHERE ${c}) `, from: 'chosen' })),
  fc.tuple(integer, condition).map(([e, c]) => ({
    with: '',
    from: `(SELECT * REPLACE (${e} AS n), 1 AS one FROM (SELECT * FROM events WHERE ${c}) AS inside) AS outside`,
  })),
)

const where = fc.option(condition, { nil: undefined }).map((c) => (c === undefined ? '' : ` WHERE ${c}`))

const grouped: fc.Arbitrary<RandomView> = fc
  .record({
    keys: fc.uniqueArray(key, { maxLength: 2 }),
    aggregates: fc.array(aggregateExpression, { minLength: 1, maxLength: 4 }),
    hidden: fc.boolean(),
    source,
    where,
    having: fc.option(aggregate, { nil: undefined }),
    grouping: fc.constantFrom('names', 'positions', 'all'),
    limit: fc.option(fc.nat(4), { nil: undefined }),
    outer: fc.boolean(),
  })
  .map((spec) => {
    const names = spec.keys.map((_, index) => `key_${index}`)
    const tail = both((pick) => {
      const items = [
        ...spec.keys.map((key, index) => `${key} AS ${names[index]}`),
        ...spec.aggregates.map((one, index) => `${pick(one)} AS value_${index}`),
      ]
      // Alternative forms of the same grouping.
      const positions = names.map((_, index) => index + 1).join(', ')
      const group = { names: names.join(', '), positions, all: 'ALL' }[spec.grouping]
      const groupBy = names.length === 0 ? '' : ` GROUP BY ${group}`
      const having = spec.having === undefined ? '' : ` HAVING ${pick(spec.having)} IS NOT NULL`
      const limit = spec.limit === undefined ? '' : ` ORDER BY ALL LIMIT ${spec.limit}`
      const sql = `SELECT ${items.join(', ')} FROM ${spec.source.from}${spec.where}${groupBy}${having}${limit}`
      return spec.outer
        ? `${spec.source.with}SELECT *, value_0 IS NULL AS is_null FROM (${sql}) AS finished WHERE true`
        : spec.source.with + sql
    })
    return { view: tail[0], oracle: tail[1] }
  })

const rows: fc.Arbitrary<RandomView> = fc
  .record({
    items: fc.uniqueArray(scalar, { minLength: 1, maxLength: 4 }),
    distinct: fc.boolean(),
    source,
    where,
    limit: fc.option(fc.nat(6), { nil: undefined }),
  })
  .map((spec) => {
    const items = spec.items.map((item, index) => `${item} AS c_${index}`).join(', ')
    const limit = spec.limit === undefined ? '' : ` ORDER BY ALL LIMIT ${spec.limit}`
    const sql = `${spec.source.with}SELECT ${spec.distinct ? 'DISTINCT ' : ''}${items} FROM ${spec.source.from}${spec.where}${limit}`
    return { view: sql, oracle: sql }
  })

export const randomView: fc.Arbitrary<RandomView> = fc.oneof(
  { weight: 4, arbitrary: grouped },
  { weight: 1, arbitrary: rows },
)

const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { freq: 5 })

/** Events of the shared stream, from small domains so that groups, ties and NULLs abound. */
export const randomEvent = fc.record({
  event_id: fc.uuid(),
  user_id: fc.constantFrom('ann', 'bob', 'Ann', '', 'é'),
  kind: fc.constantFrom('view', 'click', 'buy'),
  amount: optional(fc.integer({ min: -9999, max: 99_999 }).map((cents) => (cents / 100).toFixed(2))),
  n: optional(fc.integer({ min: -3, max: 5 })),
  big: optional(fc.constantFrom('9223372036854775807', '-9223372036854775808', '7', '0').map(Number)),
  x: optional(fc.constantFrom(0, -0, 0.5, -2.25, 1e300)),
  ts: fc
    .integer({ min: 0, max: 3 * 86_400_000 })
    .map((ms) => new Date(Date.UTC(2026, 2, 1) + ms).toISOString()),
  day: optional(fc.constantFrom('2026-03-01', '2026-03-02')),
  ok: optional(fc.boolean()),
  id: optional(
    fc.constantFrom('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'),
  ),
  tags: optional(fc.array(fc.constantFrom('a', 'b', null), { maxLength: 3 })),
  address: optional(fc.record({ city: optional(fc.constantFrom('Rome', 'Oslo')), zip: optional(fc.nat(2)) })),
  meta: optional(fc.constantFrom({ a: 1 }, { a: 'x' }, [1], 3)),
})

/** One line of NDJSON; integers beyond 2^53 keep their digits, because JSON.stringify would not. */
export function eventLine(event: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(event)
    .replaceAll('"big":9223372036854776000', '"big":9223372036854775807')
    .replaceAll('"big":-9223372036854776000', '"big":-9223372036854775808')
}
