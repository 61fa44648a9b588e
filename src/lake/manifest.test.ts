/** Manifests with and without faults, and files that differ from their manifest. */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { checkLake, extendManifest, filesInRange, manifestFaults } from './manifest.ts'
import type { LakeFile, LakeManifest } from './types.ts'

function file(stream: string, from: number, to: number, offsets: LakeFile['offsets']): LakeFile {
  const rows = offsets.reduce((sum, range) => sum + range.to - range.from, 0)
  return {
    stream,
    from,
    to,
    path: `/${stream}-${from}-${to}`,
    rows,
    bytes: 1,
    checksum: 1,
    offsets,
    fields: [],
  }
}

const first = file('a', 0, 5, [
  { from: 0, to: 3 },
  { from: 0, to: 0 },
])
const second = file('a', 8, 12, [
  { from: 3, to: 4 },
  { from: 0, to: 2 },
])
const other = file('b', 0, 5, [{ from: 0, to: 1 }])
const manifest: LakeManifest = { through: 12, files: [second, other, first] }

test('the files of a range are those that reach into it, oldest first', () => {
  const paths = (from: number, to: number) =>
    filesInRange(manifest, 'a', { from, to }).map(({ path }) => path)
  assert.deepEqual(paths(0, 12), ['/a-0-5', '/a-8-12'])
  assert.deepEqual(paths(5, 8), [])
  assert.deepEqual(paths(4, 9), ['/a-0-5', '/a-8-12'])
  assert.deepEqual(paths(5, 9), ['/a-8-12'])
})

test('a manifest without a hole in any partition has no faults', () => {
  assert.deepEqual(manifestFaults(manifest), [])
  const next = file('b', 12, 13, [{ from: 1, to: 2 }])
  const extended = extendManifest(manifest, { through: 13, files: [next] })
  assert.deepEqual(manifestFaults(extended), [])
  assert.equal(extended.through, 13)
})

test('overlaps, holes and files beyond the cut are named', () => {
  const faults = (...files: LakeFile[]) => manifestFaults({ through: 12, files })
  assert.deepEqual(faults(first, file('a', 4, 6, [{ from: 3, to: 4 }])), [
    'stream "a" (4, 6] overlaps what ends at cut 5',
  ])
  assert.deepEqual(faults(first, file('a', 5, 6, [{ from: 4, to: 5 }])), [
    'stream "a" (5, 6] partition 0 begins at offset 4, not 3',
  ])
  assert.deepEqual(faults(file('a', 0, 13, [])), ['stream "a" (0, 13] reaches beyond cut 12'])
  assert.deepEqual(faults({ ...first, rows: 4 }), ['stream "a" (0, 5] has 4 rows in 3 offsets'])
})

test('files that are missing, damaged or listed nowhere are found', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'refold-lake-'))
  try {
    const inner = join(folder, 'a')
    await mkdir(inner)
    const listed = (name: string, content: string): LakeFile => {
      const path = join(inner, name)
      return { ...first, path, bytes: content.length, checksum: crc32(content) }
    }
    await writeFile(join(inner, 'good'), 'good')
    await writeFile(join(inner, 'short'), 'shor')
    await writeFile(join(inner, 'flipped'), 'flippeD')
    await writeFile(join(inner, 'extra'), 'x')
    const files = ['good', 'short', 'flipped', 'gone'].map((name) => listed(name, name))
    assert.deepEqual(await checkLake({ through: 5, files }, [inner, join(folder, 'none')]), [
      { kind: 'damaged', path: join(inner, 'short') },
      { kind: 'damaged', path: join(inner, 'flipped') },
      { kind: 'missing', path: join(inner, 'gone') },
      { kind: 'extra', path: join(inner, 'extra') },
    ])
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
