/**
 * What makes a new version of a view that calls functions, what a plan says of it, and that versions keep their code
 * through kills, backups and restores.
 */

import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, beforeEach, test } from 'node:test'
import { runCommand } from '../../src/cli/cli-fixture.ts'
import { projectFile, READINGS, type Reading, SensorServer } from '../support/sensor-server.ts'
import { ServerProcess, type ViewAnswer } from '../support/server-process.ts'

let sensors: SensorServer
const processes: ServerProcess[] = []

beforeEach(() => {
  sensors = new SensorServer()
})
afterEach(() => sensors.dispose())
after(() => Promise.all(processes.map((one) => one.dispose())))

const logic = `import { fn } from 'refold'
import { near } from 'nearby'
import { shift } from '../shared/shift.ts'

interface Model { readonly weight: number }

export const score = fn('score', {
  args: ['DOUBLE'], returns: 'DOUBLE', artefacts: { model: '../models/model.json' },
  call: (heat, { model }) => near((model as Model).weight * heat) + shift,
})
`
const table = `import { fn } from 'refold'

export const lookup = fn('lookup', {
  args: ['INTEGER'], returns: 'INTEGER', artefacts: { table: './table.bin' },
  call: (at, { table }) => (table as Uint8Array)[at] ?? null,
})
`
const nearby = (version: string, plus: number) => ({
  'node_modules/nearby/package.json': `{"name":"nearby","version":"${version}","type":"module","exports":"./index.js"}`,
  'node_modules/nearby/index.js': `export const near = (x) => x + ${plus}\n`,
})
const config = projectFile(
  { score: './logic/score.ts', lookup: './logic/lookup.ts' },
  {
    scored: 'SELECT sensor, sum(score(heat)) AS total FROM readings GROUP BY sensor',
    looked: 'SELECT sensor, sum(lookup(heat::INTEGER)) AS total FROM readings GROUP BY sensor',
    plain: 'SELECT sensor, count(*) AS n FROM readings GROUP BY sensor',
  },
)
const base = {
  'logic/score.ts': logic,
  'logic/lookup.ts': table,
  'logic/table.bin': '\u0000\u0001\u0004\u0009',
  'shared/shift.ts': 'export const shift = 0.5\n',
  'models/model.json': '{"weight": 2}',
  ...nearby('1.0.0', 0),
  'refold.config.ts': config,
}

const readings = (heats: readonly number[]): Omit<Reading, 'id'>[] =>
  heats.map((heat, second) => ({ sensor: 's', second, heat }))

interface PlanText {
  readonly views: readonly {
    readonly view: string
    readonly reasons: readonly { readonly text: string }[]
  }[]
}

/** View → reasons, of what the plan of the project on disk changes. */
async function planned(): Promise<Record<string, readonly string[]>> {
  const plan = (await sensors.server.deploys.plan(await sensors.load())) as unknown as PlanText
  return Object.fromEntries(plan.views.map(({ view, reasons }) => [view, reasons.map(({ text }) => text)]))
}

test('each part of the code makes a new version of exactly the views that use it, and the plan names it', async () => {
  sensors.write(base)
  await sensors.open()
  await sensors.send(readings([1, 2, 3]))
  assert.deepEqual(await planned(), {})
  const changes: readonly (readonly [Readonly<Record<string, string>>, Record<string, readonly string[]>])[] =
    [
      [
        { 'models/model.json': '{"weight": 3}' },
        { scored: ['artefact "model" of function "score" changed: "models/model.json"'] },
      ],
      [
        { 'shared/shift.ts': 'export const shift = 1\n' },
        { scored: ['"shared/shift.ts", of which function "score" is made, changed'] },
      ],
      [
        { 'logic/table.bin': '\u0000\u0001\u0004' },
        { looked: ['artefact "table" of function "lookup" changed: "logic/table.bin"'] },
      ],
      [
        nearby('1.1.0', 1),
        { scored: ['package "nearby", which function "score" imports, changed from 1.0.0 to 1.1.0'] },
      ],
      [
        { 'logic/lookup.ts': table.replace("args: ['INTEGER']", "args: ['INTEGER'], nulls: 'pass'") },
        {
          looked: [
            'nulls of function "lookup" changed from "skip" to "pass"',
            '"logic/lookup.ts", of which function "lookup" is made, changed',
          ],
        },
      ],
      [{ 'refold.config.ts': `${config}// a remark\n` }, {}],
    ]
  for (const [change, wanted] of changes) {
    sensors.write(change)
    assert.deepEqual(await planned(), wanted)
    sensors.write(base)
  }
  assert.deepEqual(await planned(), {}, 'the same files again are the same versions')
})

test('logic in the project file itself works, and a plan says what that costs', async () => {
  const inside = (remark: string) => `import { fn, project, view } from 'refold'
import { readings } from './readings.ts'
const twice = fn('twice', { args: ['DOUBLE'], returns: 'DOUBLE', call: (x) => x * 2 })${remark}
export default project({
  streams: [readings], functions: [twice],
  views: [view('v', { sql: 'SELECT sum(twice(heat)) AS total FROM readings' })],
})
`
  sensors.write({ 'refold.config.ts': inside('') })
  await sensors.open()
  const cut = await sensors.send(readings([1, 2, 3]))
  assert.deepEqual(await sensors.rows('v', cut), [{ total: 12 }])
  sensors.write({ 'refold.config.ts': inside(' // a remark') })
  const text =
    '"refold.config.ts", of which function "twice" is made, changed; any edit of that file does this: give the logic a file of its own'
  assert.deepEqual(await planned(), { v: [text] })
})

test('a project sent over the wire brings hashes alone: the server takes its own files or refuses', async () => {
  sensors.write(base)
  await sensors.open()
  const sent = await sensors.load()
  sensors.write({ 'shared/shift.ts': 'export const shift = 7\n' })
  const other = await sensors.load()
  sensors.write(base)
  // The same as was loaded is there.
  await sensors.server.deploys.plan(sent)
  await assert.rejects(
    sensors.server.deploys.plan(other),
    /LOGIC_DIFFERS|"shared\/shift\.ts" of the server's project folder is not the one/,
  )
})

test('kill -9: versions have their code again, though the project has other files by then', async () => {
  const files = { ...base, 'readings.ts': READINGS }
  const { 'refold.config.ts': text, ...others } = files
  const served = await ServerProcess.create(
    text.replace(
      'export default project({',
      'export default project({\n  server: { port: PORT }, seal: { rows: 3 },',
    ),
    others,
  )
  processes.push(served)
  await served.start()
  const line = (id: number) =>
    JSON.stringify({ id: `r${id}`, sensor: 's', at: '2024-05-01T00:00:00Z', heat: id })
  let cut = 0
  for (let id = 0; id < 4; id++) cut = (await served.post('readings', [line(id)])).body.cut
  const total = async (after: number) => {
    const { rows } = await served.get<ViewAnswer>(`/v1/views/scored?after=${after}`)
    return rows
  }
  assert.deepEqual(await total(cut), [{ sensor: 's', total: 2 * 6 + 4 * 0.5 }])
  await served.kill()
  writeFileSync(join(served.folder, 'shared/shift.ts'), 'export const shift = 100\n')
  writeFileSync(join(served.folder, 'models/model.json'), '{"weight": 100}')
  mkdirSync(join(served.folder, '.refold/code/.half-a-copy/files'), { recursive: true })
  await served.start()
  assert.equal(
    readdirSync(join(served.folder, '.refold/code')).filter((name) => name.startsWith('.')).length,
    0,
  )
  cut = (await served.post('readings', [line(4)])).body.cut
  assert.deepEqual(await total(cut), [{ sensor: 's', total: 2 * 10 + 5 * 0.5 }])
})

test('a backup has the code, and what was restored goes on with it', async () => {
  sensors.write(base)
  await sensors.open({ http: true })
  const cut = await sensors.send(readings([1, 2, 3]))
  await sensors.flush()
  await sensors.send(readings([3]))
  const url = sensors.server.http?.url ?? ''
  const dest = join(sensors.folder, 'backup')
  const backup = await runCommand(['backup', dest, '--url', url, '--json'], { cwd: sensors.folder })
  assert.equal(backup.code, 0, backup.err)
  await sensors.close()
  const data = join(sensors.folder, 'data')
  rmSync(data, { recursive: true, force: true })
  const restore = await runCommand(['restore', dest, '--data', data], { cwd: sensors.folder })
  assert.equal(restore.code, 0, restore.err)
  assert.equal(readdirSync(join(data, 'code')).length, 2)
  // The project moved on; what was restored has not.
  cpSync(join(sensors.folder, 'models/model.json'), join(sensors.folder, 'models/old.json'))
  sensors.write({ 'models/model.json': '{"weight": 50}' })
  assert.ok(existsSync(join(data, 'code')))
  await sensors.open()
  const end = await sensors.send(readings([1]))
  assert.ok(end > cut)
  assert.deepEqual(await sensors.rows('scored', end), [{ sensor: 's', total: 2 * 10 + 5 * 0.5 }])
  assert.deepEqual(await sensors.rows('looked', end), [{ sensor: 's', total: 1 + 4 + 9 + 9 + 1 }])
})
