/**
 * `refold init`: writes a project that runs into a new or empty folder, from `templates/default`. Names in double
 * braces are filled in. A file that exists is never touched: everything is checked before the first is written.
 */

import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { RefoldError } from '../model/errors.ts'
import { shownPath } from './code-frame.ts'
import { addExamples } from './command-options.ts'
import type { Cli } from './terminal.ts'

const packageFile = fileURLToPath(new URL('../../package.json', import.meta.url))
const templateDir = fileURLToPath(new URL('../../templates/default', import.meta.url))

/** npm leaves a `.gitignore` out of what it packs, so the template keeps it under another name. */
const renamed: Readonly<Record<string, string>> = { gitignore: '.gitignore' }

export function initCommand(cli: Cli): Command {
  const command = new Command('init')
    .description('write a new project that runs: streams, views and sample events')
    .argument('[dir]', 'folder to write to; it may exist, its files are never overwritten', '.')
    .option('--json', 'print the files written, one JSON object')
    .action((dir: string, options: { readonly json?: boolean }) => runInit(cli, dir, options.json === true))
  return addExamples(command, [
    { does: 'a project in a new folder', run: 'refold init my-project' },
    { does: 'a project in this folder', run: 'refold init' },
  ])
}

async function runInit(cli: Cli, dir: string, json: boolean): Promise<void> {
  const { terminal } = cli
  const target = resolve(cli.cwd, dir)
  const names = await templateFiles()
  const taken = names.filter((name) => existsSync(join(target, name.to)))
  if (taken.length > 0) {
    const shown = taken.slice(0, 3).map((name) => `"${name.to}"`)
    const list = [...shown, ...(taken.length > 3 ? [`${taken.length - 3} more`] : [])].join(', ')
    throw new RefoldError(
      'CLI_FILE_EXISTS',
      `folder "${shownPath(target, cli.cwd)}" already has ${list}; nothing was written`,
      {
        hint: 'Name a new folder: `refold init my-project`.',
      },
    )
  }
  const values = fillIns(target)
  for (const name of names) {
    const text = await readFile(join(templateDir, name.from), 'utf8')
    await mkdir(dirname(join(target, name.to)), { recursive: true })
    await writeFile(join(target, name.to), fillIn(text, values), { flag: 'wx' })
  }
  const files = names.map((name) => name.to)
  if (json) return terminal.data(`${JSON.stringify({ dir: target, files })}\n`)
  const style = terminal.talkStyle
  terminal.talk(
    `${style.green('✓')} wrote ${files.length} files to ${style.bold(shownPath(target, cli.cwd))}`,
  )
  for (const file of files) terminal.talk(style.dim(`  ${file}`))
  terminal.talk(
    `\nNext:\n${nextSteps(cli.cwd, target)
      .map((step) => `  ${style.cyan(step)}`)
      .join('\n')}`,
  )
}

function nextSteps(cwd: string, target: string): readonly string[] {
  const enter = relative(cwd, target)
  return [
    ...(enter === '' ? [] : [`cd ${enter.includes(' ') ? `"${enter}"` : enter}`]),
    'npm install',
    'npx refold dev',
    'npx refold ingest events/orders.ndjson --stream orders    # in a second terminal',
    'npx refold query "SELECT * FROM products"',
  ]
}

async function templateFiles(): Promise<readonly { readonly from: string; readonly to: string }[]> {
  const entries = await readdir(templateDir, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(templateDir, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .map((from) => ({ from, to: renamed[from] ?? from }))
    .sort((a, b) => (a.to < b.to ? -1 : 1))
}

function fillIns(target: string): Readonly<Record<string, string>> {
  const own = JSON.parse(readFileSync(packageFile, 'utf8')) as {
    version: string
    dependencies: Record<string, string>
  }
  return { name: packageName(basename(target)), refold: `^${own.version}`, zod: `^${own.dependencies.zod}` }
}

/** A folder's name in the letters that npm allows for a package. */
export function packageName(folder: string): string {
  const name = folder
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[._-]+|-+$/g, '')
  return name === '' ? 'my-project' : name
}

function fillIn(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\{\{(\w+)\}\}/g, (whole, key: string) => values[key] ?? whole)
}
