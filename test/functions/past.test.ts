/**
 * The past of a view that calls functions: reads as of a cut, the events of a row, a compare of two models with a rule
 * about what may differ, and verify, each against what plain JavaScript makes of the readings.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { projectFile, type Reading, SensorServer } from '../support/sensor-server.ts'

let sensors: SensorServer

beforeEach(() => {
  sensors = new SensorServer()
})
afterEach(() => sensors.dispose())

const band = (border: number) => `import { fn } from 'refold'
export const band = fn('band', {
  args: ['DOUBLE'], returns: 'VARCHAR', call: (heat) => (heat < ${border} ? 'cold' : 'hot'),
})
`
const PER_BAND = 'SELECT band(heat) AS band, count(*) AS n FROM readings GROUP BY band(heat)'

const readings = (heats: readonly number[]): Omit<Reading, 'id'>[] =>
  heats.map((heat, second) => ({ sensor: 's', second, heat }))

const counted = (heats: readonly number[], border: number) =>
  ['cold', 'hot']
    .map((name) => ({ band: name, n: heats.filter((heat) => heat < border === (name === 'cold')).length }))
    .filter(({ n }) => n > 0)

const byBand = (rows: readonly object[]) =>
  rows.toSorted((a, b) => ((a as { band: string }).band < (b as { band: string }).band ? -1 : 1))

function write(border: number, more = ''): void {
  sensors.write({
    'logic/band.ts': band(border),
    'refold.config.ts': projectFile({ band: './logic/band.ts' }, { per_band: PER_BAND }, more),
  })
}

async function asOf(cut: number): Promise<readonly object[]> {
  const read = { view: 'per_band', where: {}, order: [], limit: 100 }
  const answer = await sensors.server.core.readView(read, { moment: { kind: 'cut', cut } })
  return JSON.parse(answer.json) as object[]
}

test('as of a cut, by the code of the version that was asked for; row events; verify', async () => {
  write(50)
  await sensors.open()
  const first = await sensors.send(readings([10, 60, 70]))
  await sensors.flush()
  const last = await sensors.send(readings([20, 30, 90]))
  await sensors.rows('per_band', last)
  assert.deepEqual(byBand(await asOf(first)), counted([10, 60, 70], 50))
  const past = await sensors.server.core.sql(
    { sql: 'SELECT band(avg(n) * 20) AS b, count(*) AS n FROM per_band GROUP BY ALL', limit: 10 },
    { moment: { kind: 'cut', cut: first } },
  )
  assert.deepEqual(JSON.parse(past.json), [{ b: 'cold', n: 2 }])
  const { events, total } = await sensors.server.core.compare.rowEvents({
    view: 'per_band',
    key: { band: 'hot' },
    limit: 10,
  })
  assert.deepEqual([events.length, total], [3, 3])
  const [verified] = await sensors.server.core.verify.run({ views: ['per_band'] })
  assert.deepEqual([verified?.groups, verified?.found], [2, 0])
})

test('a new model is compared with the old one; a rule that calls a function says what may differ', async () => {
  write(50)
  await sensors.open()
  const heats = [10, 45, 48, 60, 70]
  await sensors.send(readings(heats))
  await sensors.flush()
  write(40, ", expect: [{ name: 'moved', when: \"band(new.n + 100) = 'hot' AND new.n <> old.n\" }]")
  const info = await sensors.deploy()
  assert.equal(info.state, 'live', JSON.stringify(info))
  const cut = await sensors.send(readings([41]))
  assert.deepEqual(byBand(await sensors.rows('per_band', cut)), counted([...heats, 41], 40))
  const text = JSON.stringify(info)
  assert.match(text, /"moved"/)
})
