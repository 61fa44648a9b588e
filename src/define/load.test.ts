/** Whole projects in folders of their own, without node_modules: what is loaded, and where mistakes are found. */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { loadProject } from './load.ts'

const folders: string[] = []
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

async function folderWith(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'refold-project-'))
  folders.push(folder)
  await write(folder, files)
  return folder
}

async function write(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true })
    await writeFile(path.join(folder, name), text)
  }
}

/** `file:line:column CODE` of each mistake. */
async function mistakesOf(files: Readonly<Record<string, string>>): Promise<string[]> {
  const folder = await folderWith(files)
  const loaded = await loadProject(folder)
  assert.ok(!loaded.ok, 'the project was accepted')
  return loaded.mistakes.map(({ code, place }) => {
    return `${path.relative(folder, place?.file ?? '')}:${place?.line}:${place?.column} ${code}`
  })
}

const events = `export const events = stream('events', {
  schema: z.object({ event_id: z.string(), user_id: z.string(), ts: z.iso.datetime() }),
  id: 'event_id', key: 'user_id', time: 'ts',
})
`
const imports = `import { project, stream, view } from 'refold'
import { z } from 'zod'
`

test('a project is loaded with its defaults, helper modules and SQL files', async () => {
  const folder = await folderWith({
    'lib/events.ts': imports + events,
    'refold.config.ts': `${imports}import { events } from './lib/events.ts'
export default project({
  streams: [events],
  views: [view('inline', { sql: \`
    SELECT 1 FROM events\`, onError: 'skip' })],
  seal: { bytes: '1MiB', age: '90s' },
})
`,
    'views/from_file.sql': 'SELECT 2 FROM events\n',
  })
  const loaded = await loadProject(folder)
  assert.ok(loaded.ok, JSON.stringify(loaded))
  const { project } = loaded
  const file = path.join(folder, 'refold.config.ts')
  assert.equal(project.name, path.basename(folder))
  assert.equal(project.root, folder)
  assert.equal(project.file, file)
  assert.equal(project.dataDir, path.join(folder, '.refold'))
  assert.deepEqual(project.server, { host: '127.0.0.1', port: 7717 })
  assert.deepEqual(project.seal, { rows: 1_000_000, bytes: 1024 * 1024, ageMs: 90_000 })
  assert.equal(project.limits.eventBytes, 1024 * 1024)
  assert.equal(project.engine.memoryBytes, 2_000_000_000)
  const [stream] = project.streams
  assert.deepEqual(
    { ...stream, schema: stream?.schema.fields.map((field) => field.name) },
    {
      name: 'events',
      schema: ['event_id', 'user_id', 'ts'],
      id: 'event_id',
      key: 'user_id',
      time: 'ts',
      partitions: 4,
      dedupe: { timeMs: 24 * 60 * 60 * 1000, count: 10_000_000 },
      latenessMs: 0,
    },
  )
  assert.deepEqual(
    project.views.map(({ name, onError, sqlPlace }) => [name, onError, sqlPlace]),
    [
      ['inline', 'skip', { file, line: 6, column: 34 }],
      ['from_file', 'stall', { file: path.join(folder, 'views/from_file.sql'), line: 1, column: 1 }],
    ],
  )
  assert.deepEqual(loaded.files.map((name) => path.relative(folder, name)).sort(), [
    'lib/events.ts',
    'refold.config.ts',
    'views/from_file.sql',
  ])
})

test('loading again sees what changed, in helper modules too', async () => {
  const config = `${imports}import { count } from './count.ts'
${events.replace("time: 'ts'", 'partitions: count')}
export default project({ streams: [events] })
`
  const folder = await folderWith({ 'refold.config.ts': config, 'count.ts': 'export const count = 2\n' })
  const first = await loadProject(path.join(folder, 'refold.config.ts'))
  await write(folder, { 'count.ts': 'export const count = 16\n' })
  const second = await loadProject(folder)
  assert.ok(first.ok && second.ok)
  assert.deepEqual([first.project.streams[0]?.partitions, second.project.streams[0]?.partitions], [2, 16])
})

test('all mistakes of a project come at once, each at its place', async () => {
  const found = await mistakesOf({
    'streams.ts': `${imports}
const line = z.object({
  price: z.string().transform(Number),
})
export const orders = stream('orders', {
  schema: z.object({
    id: z.string(),
    lines: z.array(line),
    at: z.date(),
    note: z.string().nullable().default('-'),
  }),
  id: 'idd' as 'id', partitions: 5000,
})
`,
    'refold.config.ts': `${imports}import { orders } from './streams.ts'
export default project({
  streams: [orders, stream('commit', { schema: z.object({ a: z.string() }) })],
  views: [
    view('Orders', { sql: 'SELECT 1' }),
    view('no sql', { sql: '' }),
  ],
  seal: { rows: 0, byts: 1 } as object,
  server: { port: 70000 },
})
`,
    'views/empty.sql': ' \n',
    'views/9.sql': 'SELECT 1',
  })
  assert.deepEqual(found, [
    'refold.config.ts:5:28 PROJECT_NAME',
    'refold.config.ts:7:10 PROJECT_NAME',
    'refold.config.ts:8:10 PROJECT_NAME',
    'refold.config.ts:8:27 PROJECT_INVALID',
    'refold.config.ts:10:17 PROJECT_SETTING',
    'refold.config.ts:10:26 PROJECT_SETTING',
    'refold.config.ts:11:19 PROJECT_SETTING',
    'streams.ts:5:3 STREAM_SCHEMA',
    'streams.ts:11:5 STREAM_SCHEMA',
    'streams.ts:12:5 STREAM_SCHEMA',
    'streams.ts:14:7 STREAM_FIELD',
    'streams.ts:14:34 PROJECT_SETTING',
    'views/9.sql:1:1 PROJECT_NAME',
    'views/empty.sql:1:1 PROJECT_INVALID',
  ])
})

test('the nearest right name is told', async () => {
  const folder = await folderWith({
    'refold.config.ts': `${imports}
export default project({ streems: [], streams: [
  stream('s', { schema: z.object({ user_id: z.string(), at: z.string() }), key: 'usr_id' as 'user_id', time: 'at' as never }),
] } as never)
`,
  })
  const loaded = await loadProject(folder)
  assert.ok(!loaded.ok)
  assert.deepEqual(
    loaded.mistakes.map(({ message, hint }) => [message, hint]),
    [
      ['setting "streems" does not exist', 'Did you mean "streams"?'],
      ['stream "s": key "usr_id" is not a field of the schema', 'Did you mean "user_id"?'],
      ['stream "s": time "at" is not a timestamp', 'Use a field declared as z.iso.datetime().'],
    ],
  )
})

test('a file that cannot be read as code names the line', async () => {
  const at = (name: string, text: string) => mistakesOf({ [name]: text })
  assert.deepEqual(await at('refold.config.ts', `${imports}\nexport default project({\n  streams: [ }\n`), [
    'refold.config.ts:5:14 PROJECT_SYNTAX',
  ])
  assert.deepEqual(await at('refold.config.mjs', 'const a = 1\nconst  a = 2\n'), [
    'refold.config.mjs:2:8 PROJECT_SYNTAX',
  ])
  assert.deepEqual(await at('refold.config.ts', 'const a = 1\nenum B { C }\n'), [
    'refold.config.ts:2:1 PROJECT_SYNTAX',
  ])
})

test('a file that fails names the line that failed', async () => {
  const at = (text: string) => mistakesOf({ 'refold.config.ts': text })
  assert.deepEqual(await at('const a: any = undefined\n  a.b.c\n'), ['refold.config.ts:2:5 PROJECT_FAILED'])
  assert.deepEqual(await at("import { strem } from 'refold'\n"), ['refold.config.ts:1:10 PROJECT_FAILED'])
  assert.deepEqual(await at("\nimport './nowhere.ts'\n"), ['refold.config.ts:2:11 PROJECT_FAILED'])
  assert.deepEqual(await at('process.exit(0)\n'), ['refold.config.ts:1:1 PROJECT_FAILED'])
  assert.deepEqual(await at('export default 5\n'), ['refold.config.ts:1:1 PROJECT_INVALID'])
})

test('a file that never ends loading is given up', async () => {
  const folder = await folderWith({ 'refold.config.ts': 'for (;;);\n' })
  const loaded = await loadProject(folder, { timeoutMs: 200 })
  assert.ok(!loaded.ok)
  assert.match(loaded.mistakes[0]?.message ?? '', /longer than 200 ms/)
})

test('a folder without a project says so', async () => {
  const loaded = await loadProject(await folderWith({}))
  assert.ok(!loaded.ok)
  assert.equal(loaded.mistakes[0]?.code, 'PROJECT_NOT_FOUND')
})

test('retention is stated per stream, and a stream that keeps everything says nothing', async () => {
  const config = (retention: string) => ({
    'refold.config.ts': `${imports}const events = stream('events', {
  schema: z.object({ user_id: z.string() }),
  retention: ${retention},
})
export default project({ streams: [events] })
`,
  })
  const loadedOf = async (retention: string) => {
    const loaded = await loadProject(await folderWith(config(retention)))
    assert.ok(loaded.ok)
    return loaded.project.streams[0]?.retention
  }
  assert.deepEqual(await loadedOf(`{ hot: '1h', lake: '400d' }`), {
    hotMs: 3_600_000,
    lake: { ageMs: 400 * 86_400_000, promote: true },
  })
  assert.deepEqual(await loadedOf(`{ lake: { bytes: '100GB', promote: false } }`), {
    lake: { bytes: 100e9, promote: false },
  })
  assert.equal(await loadedOf(`{}`), undefined)
  assert.deepEqual(await mistakesOf(config(`{ lake: 'for ever' as never }`)), [
    'refold.config.ts:5:22 PROJECT_SETTING',
  ])
})
