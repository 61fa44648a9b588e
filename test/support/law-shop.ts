/**
 * What the laws under deploys are proved on: streams at several stages of their schemas, and for each view several
 * definitions, from which random projects are made. Pure, given the random numbers.
 */

import type { CheckDef, ProjectDef, RunDef, ViewDef } from '../../src/define/types.ts'
import type { Field, FieldType, StreamDef } from '../../src/model/schema.ts'

/** A view's text for a schema: the name of the field of the country changes on the way. */
type Variant = (names: { readonly land: string; readonly salt: number }) => string

interface ViewKind {
  readonly stream: 'orders' | 'visits' | 'refunds'
  readonly variants: readonly Variant[]
  /** Variants from this one on read `tip`, which is there from level 1. */
  readonly tipsFrom?: number
  /** Late events wait for the next batch: it always runs as lambda, and is there from the beginning or never. */
  readonly holds?: true
}

/** Of every stream that has a time; events come up to four days out of order. */
export const LATENESS_MS = 36 * 3_600_000

export const viewKinds: Readonly<Record<string, ViewKind>> = {
  totals: {
    stream: 'orders',
    variants: [
      () => 'SELECT count(*) AS n, sum(amount) AS total FROM orders',
      () => 'SELECT count(*) AS n, sum(amount) AS total, min(ts) AS first, max(ts) AS last FROM orders',
    ],
  },
  by_user: {
    stream: 'orders',
    variants: [
      () => 'SELECT user_id, count(*) AS n, sum(amount) AS total FROM orders GROUP BY user_id',
      () => 'SELECT user_id, count(*) AS n, sum(amount) * 2 AS total FROM orders GROUP BY user_id',
      ({ land }) =>
        `SELECT user_id, count(*) AS n, sum(amount) AS total FROM orders WHERE ${land} <> 'fr' GROUP BY user_id`,
      () =>
        'SELECT user_id, count(*) AS n, count(DISTINCT order_id) AS ids, avg(quantity) AS mean FROM orders GROUP BY user_id',
      ({ salt }) =>
        `SELECT user_id, count(*) AS n, sum(amount + ${salt}) AS total FROM orders GROUP BY user_id`,
      () =>
        'SELECT user_id, count(*) AS n, sum(amount) AS total, sum(tip) AS tips FROM orders GROUP BY user_id',
    ],
    tipsFrom: 5,
  },
  by_land: {
    stream: 'orders',
    variants: [
      ({ land }) =>
        `SELECT ${land} AS place, count(*) AS n, count(DISTINCT user_id) AS buyers FROM orders GROUP BY ${land}`,
      ({ land }) =>
        `SELECT upper(${land}) AS place, count(*) FILTER (paid) AS paid, sum(DISTINCT quantity) AS sizes FROM orders GROUP BY 1 HAVING count(*) > 2`,
    ],
  },
  by_hour: {
    stream: 'orders',
    variants: [
      () =>
        `SELECT date_trunc('hour', ts) AS hour, count(*) AS n, max(amount) AS highest FROM orders GROUP BY 1`,
      () =>
        `SELECT date_trunc('hour', ts + INTERVAL 1 HOUR) AS hour, count(*) AS n, max(amount) AS highest FROM orders GROUP BY 1`,
    ],
  },
  top: {
    stream: 'orders',
    variants: [
      () =>
        'SELECT user_id, sum(amount) AS total FROM orders GROUP BY user_id ORDER BY total DESC, user_id LIMIT 5',
      () =>
        'SELECT user_id, sum(amount) AS total FROM orders GROUP BY user_id ORDER BY total DESC, user_id LIMIT 3',
    ],
  },
  large: {
    stream: 'orders',
    variants: [
      ({ salt }) =>
        `SELECT order_id, amount * quantity AS value FROM orders WHERE amount > ${950 + (salt % 40)}`,
      () => 'SELECT order_id, user_id, ts FROM orders WHERE amount > 980',
    ],
  },
  pages: {
    stream: 'visits',
    variants: [
      () => 'SELECT page, count(*) AS n, sum(ms) AS spent FROM visits GROUP BY page',
      () => 'SELECT page, user_id, count(*) AS n FROM visits GROUP BY page, user_id',
    ],
  },
  held: {
    stream: 'orders',
    variants: [
      () => 'SELECT user_id, count(*) AS n, sum(amount) AS total FROM orders GROUP BY user_id',
      ({ salt }) =>
        `SELECT user_id, sum(amount + ${salt}) AS total, max(ts) AS last FROM orders GROUP BY user_id`,
    ],
    holds: true,
  },
  refunded: {
    stream: 'refunds',
    variants: [() => 'SELECT count(*) AS n, sum(amount) AS total FROM refunds'],
  },
}

/** Definitions that a project asks for. */
export interface ShopProject {
  /** Of the schema of `orders`: 1 adds `tip`, 2 calls `country` `land`, 3 widens `quantity`. */
  readonly level: number
  readonly refunds: boolean
  /** By view; left out of one: it runs as kappa. */
  readonly views: Readonly<
    Record<string, { readonly variant: number; readonly salt: number; readonly run?: RunDef }>
  >
  /** Written with other white space and a comment: the same versions. */
  readonly spaced: boolean
}

export const firstProject: ShopProject = {
  level: 0,
  refunds: true,
  views: {
    totals: { variant: 0, salt: 0 },
    by_user: { variant: 0, salt: 0 },
    by_hour: { variant: 0, salt: 0 },
    large: { variant: 0, salt: 0 },
    pages: { variant: 0, salt: 0 },
  },
  spaced: false,
}

/** Views on which the check and the followers stand, and one that would not come back. */
const kept = ['totals', 'by_user', 'held']

/** With a view that holds late events back. */
export const holdingProject: ShopProject = {
  ...firstProject,
  views: { ...firstProject.views, held: { variant: 0, salt: 0, run: lambdaEvery(2_500) } },
}

/** A few changes to a project, at random. Some views are never removed. */
export function changedProject(random: () => number, from: ShopProject): ShopProject {
  const pick = (count: number) => Math.floor(random() * count)
  let { level, refunds } = from
  const views = { ...from.views }
  const names = Object.keys(viewKinds).filter((name) => !viewKinds[name]!.holds || views[name] !== undefined)
  for (let change = 0; change < 1 + pick(3); change++) {
    const name = names[pick(names.length)] ?? 'totals'
    const dice = random()
    if (dice < 0.08 && level < 3) level++
    else if (dice < 0.2) refunds = !refunds
    else if (dice < 0.35 && !kept.includes(name)) delete views[name]
    else if (name !== 'refunded' || refunds) {
      const { variants, tipsFrom = variants.length } = viewKinds[name]!
      const run = views[name]?.run
      const variant = pick(level >= 1 ? variants.length : tipsFrom)
      views[name] = { variant, salt: pick(100), ...(run === undefined ? {} : { run }) }
    }
  }
  if (!refunds) delete views['refunded']
  return { level, refunds, views, spaced: random() < 0.2 }
}

/** Some views run in another way, and are as they were. */
export function changedRuns(
  random: () => number,
  from: ShopProject,
  way: (random: () => number) => RunDef,
): ShopProject {
  const names = Object.keys(from.views)
  const views = { ...from.views }
  for (let change = 0; change < 1 + Math.floor(random() * 3); change++) {
    const name = names[Math.floor(random() * names.length)] ?? 'totals'
    const run = way(random)
    if (viewKinds[name]!.holds && run.kind !== 'lambda') continue
    views[name] = { ...views[name]!, run }
  }
  return { ...from, views }
}

function lambdaEvery(everyMs: number): RunDef {
  const schedule = { kind: 'every', everyMs } as const
  return { kind: 'lambda', schedule, incremental: false, whenSpeedFails: 'stale', maxDivergence: 0 }
}

export function viewSql(project: ShopProject, name: string): string {
  const { variant, salt } = project.views[name]!
  return viewKinds[name]!.variants[variant]!({ land: project.level >= 2 ? 'land' : 'country', salt })
}

/** What decides a version, said in the words of the test. */
export function definitionKey(project: ShopProject, name: string): string {
  const sql = viewSql(project, name)
  const wide = sql.includes('quantity') && project.level >= 3
  return `${name}: ${sql}${wide ? ' (wide)' : ''}`
}

/** Orders and users add up; red when a version counts other events than the other. */
const addsUp = 'SELECT 1 AS wrong WHERE (SELECT sum(n) FROM by_user) <> (SELECT n FROM totals)'

const place = { file: 'refold.config.ts', line: 1, column: 1 }

export function projectDef(folder: string, project: ShopProject): ProjectDef {
  const views = Object.keys(project.views).map((name): ViewDef => {
    const sql = viewSql(project, name)
    const text = project.spaced ? `-- ${name}\n${sql.replaceAll(' FROM ', '\n  from ')}` : sql
    return {
      name,
      sql: text,
      sqlPlace: { ...place, file: `${name}.sql` },
      run: project.views[name]?.run ?? { kind: 'kappa' },
      ...(viewKinds[name]!.holds ? { late: 'hold' as const } : {}),
      onError: 'stall',
    }
  })
  const check: CheckDef = {
    ...{ name: 'adds up', place, cutover: true, timeoutMs: 30_000 },
    rule: { kind: 'nothing', sql: addsUp, sqlPlace: place },
  }
  return {
    ...{ name: 'shop', root: folder, file: `${folder}/refold.config.ts`, dataDir: `${folder}/data` },
    streams: shopStreams(project),
    views,
    checks: [check],
    server: { host: '127.0.0.1', port: 0 },
    engine: { memoryBytes: 512 << 20, threads: 2, statementTimeoutMs: 60_000, heavyStatements: 2 },
    seal: { rows: 2_000, bytes: 1e12, ageMs: 1_500 },
    history: { quickMs: 86_400_000, fineMs: 2_592_000_000 },
    limits: {
      ...{ eventBytes: 1 << 20, requestBytes: 1 << 25, expandedBytes: 1 << 28, depth: 64 },
      ...{ requestEvents: 100_000, queueBytes: 64 << 20 },
    },
  }
}

export function shopStreams({
  level,
  refunds,
}: Pick<ShopProject, 'level' | 'refunds'>): readonly StreamDef[] {
  const text: FieldType = { kind: 'string' }
  const money: FieldType = { kind: 'decimal', precision: 18, scale: 2 }
  const time: FieldType = { kind: 'timestamp' }
  const land: Field =
    level >= 2
      ? { name: 'land', type: text, optional: true, nullable: false, aliases: ['country'] }
      : { name: 'country', type: text, optional: true, nullable: false }
  const tip: Field = { ...field('tip', money), defaultValue: '0.10' }
  const orders = [
    field('order_id', text),
    field('user_id', text),
    land,
    field('amount', money),
    field('quantity', { kind: 'integer', bits: level >= 3 ? 64 : 32 }),
    { ...field('paid', { kind: 'boolean' }), defaultValue: false },
    field('ts', time),
    ...(level >= 1 ? [tip] : []),
  ]
  const visits = [field('visit_id', text), field('user_id', text), field('page', text)]
  const spent = [field('ms', { kind: 'integer', bits: 64 }), field('at', time)]
  const common = { dedupe: { timeMs: 3_600_000, count: 1_000_000 }, latenessMs: LATENESS_MS }
  const stream = (
    name: string,
    fields: readonly Field[],
    more: Omit<StreamDef, 'name' | 'schema' | keyof typeof common>,
  ): StreamDef => ({
    ...{ name, schema: { kind: 'object', fields }, ...more, ...common },
  })
  return [
    stream('orders', orders, { id: 'order_id', key: 'user_id', time: 'ts', partitions: 3 }),
    stream('visits', [...visits, ...spent], { id: 'visit_id', time: 'at', partitions: 2 }),
    ...(refunds
      ? [
          stream('refunds', [field('refund_id', text), field('amount', money)], {
            id: 'refund_id',
            partitions: 1,
          }),
        ]
      : []),
  ]
}

function field(name: string, type: FieldType): Field {
  return { name, type, optional: false, nullable: false }
}
