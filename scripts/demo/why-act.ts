/**
 * Why the report of now differs from that of the first act: what `refold why` says, its sums added up, and each part
 * held against plain DuckDB over the same flights. State: none beside the stage.
 */

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { rowsOf } from '../agreement.ts'
import { root } from '../steps.ts'
import { flightsSql } from './flights-source.ts'
import { indented } from './picture.ts'
import { type Report, routesOf } from './reports.ts'
import { at, mustHold, refold, type Stage, shown, viewFile } from './stage.ts'

const view = 'route_delays'
/** Sums over whole minutes and flights, which are exact; averages are added up, and not counted again here. */
const counted = ['flights', 'delay_total', 'delay_max', 'late']

interface Parts {
  readonly first: string | null
  readonly late: string
  readonly arrived: string
  readonly logic: string
  readonly last: string | null
}

interface Why {
  readonly lateEvents: number
  readonly newEvents: number
  readonly rowCount: Parts
  readonly totals: readonly (Parts & { readonly column: string })[]
  readonly rows: readonly {
    readonly key: Readonly<Record<string, string>>
    readonly columns: readonly (Parts & { readonly column: string })[]
  }[]
}

export async function whyItDiffers(stage: Stage, before: Report): Promise<void> {
  const { picture, counts } = stage
  const busiest = routesOf(before).reduce((most, route) => (route.flights > most.flights ? route : most))
  const asked = ['why', view, '--from', before.at, '--to', String(counts.cut)]
  const key = ['--key', `origin=${busiest.origin}`, '--key', `destination=${busiest.destination}`]
  picture.say('')
  picture.say(`${at(stage)} $ refold ${[...asked, ...key].join(' ')} --rows 0`)
  picture.say(indented(await refold(stage, [...asked, ...key, '--rows', '0'])))
  const why = JSON.parse(await refold(stage, [...asked, '--rows', '10000', '--json'])) as Why
  const all = [why.rowCount, ...why.totals, ...why.rows.flatMap(({ columns }) => columns)]
  const wrong = all.filter((parts) => !addsUp(parts))
  mustHold(stage, wrong.length === 0, `parts that do not add up: ${JSON.stringify(wrong.slice(0, 3))}`)
  picture.say(
    `    all routes: ${shown(why.lateEvents)} late and ${shown(why.newEvents)} other new events; ${shown(all.length)} differences, of rows and sums, ${shown(all.length - wrong.length)} add up exactly`,
  )
  await holdAgainstPlain(stage, why)
}

function addsUp({ first, late, arrived, logic, last }: Parts): boolean {
  const parts = [first ?? '0', late, arrived, logic]
  const digits = Math.max(...[...parts, last ?? '0'].map((text) => text.split('.')[1]?.length ?? 0))
  const sum = parts.reduce((total, text) => total + scaled(text, digits), 0n)
  return sum === scaled(last ?? '0', digits)
}

/** A decimal as a whole number of its last digit. */
function scaled(text: string, digits: number): bigint {
  const [whole = '0', fraction = ''] = text.replace(/^-/, '').split('.')
  const value = BigInt(whole + fraction.padEnd(digits, '0'))
  return text.startsWith('-') ? -value : value
}

async function holdAgainstPlain(stage: Stage, why: Why): Promise<void> {
  const old = readFileSync(path.join(root, 'examples/flights/views', `${view}.sql`), 'utf8')
  const fresh = readFileSync(viewFile(stage, view), 'utf8')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`CREATE TABLE was AS ${flightsSql('first')}`)
  await connection.run(`CREATE TABLE came AS ${flightsSql('second')}`)
  // The stream states a lateness of six hours.
  const late = `FROM came WHERE departed_at < (SELECT max(departed_at) FROM was) - INTERVAL 6 HOUR`
  const steps = [
    await sums(connection, old, 'FROM was'),
    await sums(connection, old, `FROM was UNION ALL ${late}`),
    await sums(connection, old, 'FROM was UNION ALL FROM came'),
    await sums(connection, fresh, 'FROM was UNION ALL FROM came'),
  ]
  const [lateEvents] = await rowsOf(connection, `SELECT count(*)::INTEGER AS n ${late}`)
  connection.closeSync()
  instance.closeSync()
  const wrongBefore = stage.wrong.length
  for (const column of counted) {
    const [first = 0n, second = 0n, third = 0n, last = 0n] = steps.map((step) => step.get(column) ?? 0n)
    const expected = [first, second - first, third - second, last - third, last].join()
    const found = why.totals.find((total) => total.column === column)
    const parts = [found?.first, found?.late, found?.arrived, found?.logic, found?.last].join()
    mustHold(stage, parts === expected, `why says ${parts} of ${column}, plain DuckDB ${expected}`)
  }
  const n = Number(lateEvents?.['n'])
  mustHold(stage, why.lateEvents === n, `why says ${why.lateEvents} late events, plain DuckDB ${n}`)
  if (stage.wrong.length > wrongBefore) return
  stage.picture.say(`    plain DuckDB gives the same parts of ${counted.join(', ')}`)
}

async function sums(
  connection: DuckDBConnection,
  sql: string,
  from: string,
): Promise<ReadonlyMap<string, bigint>> {
  await connection.run(`CREATE OR REPLACE VIEW flights AS ${from}`)
  const columns = counted.map((column) => `sum(${column})::VARCHAR AS ${column}`).join(', ')
  const [row] = await rowsOf(connection, `SELECT ${columns} FROM (${sql})`)
  return new Map(counted.map((column) => [column, BigInt(String(row?.[column]))]))
}
