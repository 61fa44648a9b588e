/** The code store: what a copy holds, how it is loaded, old and new beside one another, and what is refused. */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { type ArtefactDef, type CodeDef, codeDef } from '../../define/code.ts'
import type { FunctionSpec } from '../../define/function.ts'
import { loadLogic, userStack } from '../../define/logic-modules.ts'
import { runPure } from '../../define/pure-context.ts'
import { RefoldError } from '../../model/errors.ts'
import { keepCode } from './keep-code.ts'

const folders: string[] = []
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

interface Place {
  readonly root: string
  readonly folder: string
}

function project(files: Readonly<Record<string, string>>): Place {
  const home = mkdtempSync(path.join(os.tmpdir(), 'refold-code-'))
  folders.push(home)
  const place = { root: path.join(home, 'project'), folder: path.join(home, 'data', 'code') }
  mkdirSync(place.root)
  mkdirSync(place.folder, { recursive: true })
  change(place, files)
  return place
}

function change({ root }: Place, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(root, name)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
}

const sha = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

function code(
  { root }: Place,
  entry: string,
  files: readonly string[],
  more: {
    readonly artefacts?: Readonly<Record<string, string>>
    readonly packages?: Readonly<Record<string, string>>
  } = {},
): CodeDef {
  const hashOf = (name: string) => sha(readFileSync(path.join(root, name)))
  const artefacts = Object.entries(more.artefacts ?? {}).map(([name, file]): [string, ArtefactDef] => {
    return [name, { path: file, hash: hashOf(file), format: file.endsWith('.json') ? 'json' : 'binary' }]
  })
  const hashes = Object.fromEntries(files.map((name) => [name, hashOf(name)]))
  return codeDef(entry, { files: hashes, packages: more.packages ?? {} }, Object.fromEntries(artefacts))
}

async function callOf(
  place: Place,
  { hash }: CodeDef,
  name: string,
): Promise<(...given: unknown[]) => unknown> {
  const logic = await loadLogic(place, hash)
  const spec = logic.find('function', name) as FunctionSpec | undefined
  assert.ok(spec?.call !== undefined, `${name} was made`)
  const call = spec.call as (...given: unknown[]) => unknown
  return (...given) => runPure(() => call(...given, logic.artefacts))
}

const helper = (factor: number) => `export const factor: number = ${factor}\n`
const double = `import { fn } from 'refold'
import { factor } from '../shared/factor.ts'
fn('twice', { args: ['DOUBLE'], returns: 'DOUBLE', call: (x: number) => x * factor })
`

test('old and new code run side by side, after the files of the project are gone', async () => {
  const place = project({ 'logic/twice.ts': double, 'shared/factor.ts': helper(2) })
  const files = ['logic/twice.ts', 'shared/factor.ts']
  const old = code(place, 'logic/twice.ts', files)
  await keepCode(place.folder, place.root, old)
  change(place, { 'shared/factor.ts': helper(3) })
  const next = code(place, 'logic/twice.ts', files)
  await keepCode(place.folder, place.root, next)
  rmSync(path.join(place.root, 'shared'), { recursive: true })
  const [before, after] = [await callOf(place, old, 'twice'), await callOf(place, next, 'twice')]
  assert.notEqual(old.hash, next.hash)
  assert.deepEqual([before(10), after(10), before(1)], [20, 30, 2])
})

test('files outside of the project folder, JSON imports and artefacts are kept', async () => {
  const place = project({
    'app/score.ts': `import { fn } from 'refold'
import { base } from '../../outside/base.ts'
import table from './table.json' with { type: 'json' }
fn('score', { args: ['DOUBLE'], returns: 'DOUBLE', artefacts: { model: 'm.json', raw: 'm.bin' },
  call: (x: number, { model, raw }: any) => x + base + table.add + model.weights[1] + raw[0] })
`,
    'app/table.json': '{"add": 10}',
    'app/m.json': '{"weights": [1, 100]}',
    'app/m.bin': '\u0007',
    '../outside/base.ts': 'export const base = 1000\n',
  })
  const made = code(place, 'app/score.ts', ['app/score.ts', 'app/table.json', '../outside/base.ts'], {
    artefacts: { model: 'app/m.json', raw: 'app/m.bin' },
  })
  await keepCode(place.folder, place.root, made)
  const call = await callOf(place, made, 'score')
  assert.equal(call(0.5), 1117.5)
})

test('what does not match is refused, on its way in and on its way out', async () => {
  const place = project({ 'logic/twice.ts': double, 'shared/factor.ts': helper(2) })
  const made = code(place, 'logic/twice.ts', ['logic/twice.ts', 'shared/factor.ts'])
  change(place, { 'shared/factor.ts': helper(5) })
  const is = (wanted: string, text: RegExp) => (error: unknown) => {
    assert.ok(error instanceof RefoldError, String(error))
    assert.equal(error.code, wanted)
    assert.match(error.message, text)
    return true
  }
  await assert.rejects(keepCode(place.folder, place.root, made), is('LOGIC_DIFFERS', /shared\/factor\.ts/))
  await assert.rejects(loadLogic(place, made.hash), is('LOGIC_MISSING', /is not in/))
  change(place, { 'shared/factor.ts': helper(2) })
  await keepCode(place.folder, place.root, made)
  const kept = path.join(place.folder, made.hash, 'files/shared/factor.ts')
  writeFileSync(kept, helper(4))
  await assert.rejects(loadLogic(place, made.hash), is('LOGIC_MISSING', /"shared\/factor\.ts".*damaged/))
  rmSync(kept)
  await assert.rejects(loadLogic(place, made.hash), is('LOGIC_MISSING', /"shared\/factor\.ts".*gone/))
  // The project still has the file, so the copy is made whole again.
  await keepCode(place.folder, place.root, made)
  assert.ok(existsSync(kept))
  assert.equal((await callOf(place, made, 'twice'))(4), 8)
  const other = { ...made, packages: { left: '1.0.0' } }
  rmSync(path.join(place.folder, made.hash), { recursive: true })
  await assert.rejects(keepCode(place.folder, place.root, other), is('LOGIC_DIFFERS', /hash/))
})

test('a package is the version that the code was made with, or the code does not run', async () => {
  const place = project({
    'logic/near.ts': `import { fn } from 'refold'
import { near } from 'nearby'
fn('near', { args: ['DOUBLE'], returns: 'DOUBLE', call: (x: number) => near(x) })
`,
    'node_modules/nearby/package.json':
      '{"name":"nearby","version":"1.2.3","type":"module","exports":"./index.js"}',
    'node_modules/nearby/index.js': 'export const near = (x) => x + 1\n',
  })
  const made = code(place, 'logic/near.ts', ['logic/near.ts'], { packages: { nearby: '1.2.3' } })
  await keepCode(place.folder, place.root, made)
  change(place, {
    'node_modules/nearby/package.json':
      '{"name":"nearby","version":"2.0.0","type":"module","exports":"./index.js"}',
  })
  await assert.rejects(loadLogic(place, made.hash), /nearby@1\.2\.3, which is 2\.0\.0 now/)
  change(place, {
    'node_modules/nearby/package.json':
      '{"name":"nearby","version":"1.2.3","type":"module","exports":"./index.js"}',
  })
  assert.equal((await callOf(place, made, 'near'))(1), 2)
})

test('clock, chance and what lies outside are refused, by name and with the place', async () => {
  const uses: readonly (readonly [string, RegExp])[] = [
    ['Date.now()', /Date\.now\(\)/],
    ['new Date()', /new Date\(\)/],
    ['Math.random()', /Math\.random\(\)/],
    ['performance.now()', /performance\.now\(\)/],
    ['crypto.randomUUID()', /crypto\.randomUUID\(\)/],
    ['process.env.HOME', /process/],
    ['(1.5).toLocaleString()', /toLocaleString\(\) without a locale/],
    ['new Intl.NumberFormat().format(1)', /NumberFormat\(\) without a locale/],
    ["'a'.localeCompare('b')", /localeCompare\(\) without a locale/],
    ["fetch('http://127.0.0.1')", /fetch\(\)/],
    ['setTimeout(() => {}, 1)', /setTimeout\(\)/],
    ["readFileSync('x')", /node:fs \(readFileSync\)/],
    ['randomBytes(4)', /node:crypto \(randomBytes\)/],
    ['new Worker("x")', /node:worker_threads \(Worker\)/],
  ]
  const lines = uses.map(([use], index) => `  if (x === ${index}) return ${use}`)
  const place = project({
    'logic/bad.ts': `import { fn } from 'refold'
import { readFileSync } from 'node:fs'
import { createHash, randomBytes } from 'node:crypto'
import { Worker } from 'node:worker_threads'
function use(x: number): unknown {
${lines.join('\n')}
  return createHash('sha256').update(new Date(0).toISOString()).digest('hex').length + Math.max(1, 2) + 'a'.localeCompare('a', 'en') + new Date(2024, 0, 1).getTimezoneOffset()
}
fn('bad', { args: ['DOUBLE'], returns: 'DOUBLE', call: (x: number) => use(x) as number })
`,
    'logic/early.ts': `import { fn } from 'refold'
const seed = Math.random()
fn('early', { args: ['DOUBLE'], returns: 'DOUBLE', call: (x: number) => x + seed })
`,
  })
  const bad = code(place, 'logic/bad.ts', ['logic/bad.ts'])
  await keepCode(place.folder, place.root, bad)
  const call = await callOf(place, bad, 'bad')
  for (const [index, [, text]] of uses.entries()) {
    assert.throws(
      () => call(index),
      (error: unknown) => {
        assert.match((error as Error).message, text)
        assert.equal(
          userStack(error).at,
          `logic/bad.ts:${6 + index}:${userStack(error).at?.split(':').at(-1)}`,
        )
        return true
      },
    )
  }
  assert.equal(call(99), 66, 'what only computes is fine')
  assert.ok(Date.now() > 0 && Math.random() < 1, 'outside of logic nothing is refused')
  const early = code(place, 'logic/early.ts', ['logic/early.ts'])
  await keepCode(place.folder, place.root, early)
  await assert.rejects(loadLogic(place, early.hash), /Math\.random\(\) while it is loaded/)
})
