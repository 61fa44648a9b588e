/** The order of the calls that make a file's new name durable. */

import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Files, realFiles } from '../std/files.ts'
import { publishFile } from './publish-file.ts'

test('a published file has its name on the disk, its new folder too', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'refold-publish-'))
  try {
    const staged = join(folder, 'staged')
    await writeFile(staged, 'content')
    const calls: string[] = []
    const files: Files = {
      ...realFiles,
      mkdir: (path) => realFiles.mkdir(path).then(() => void calls.push(`mkdir ${path}`)),
      rename: (from, to) => realFiles.rename(from, to).then(() => void calls.push(`rename ${to}`)),
      syncDir: (path) => realFiles.syncDir(path).then(() => void calls.push(`sync ${path}`)),
    }
    const final = join(folder, 'events', '1-2.parquet')
    await publishFile(staged, final, files)
    assert.equal(await readFile(final, 'utf8'), 'content')
    assert.deepEqual(await readdir(folder), ['events'])
    const inner = join(folder, 'events')
    assert.deepEqual(calls, [`mkdir ${inner}`, `sync ${folder}`, `rename ${final}`, `sync ${inner}`])
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
