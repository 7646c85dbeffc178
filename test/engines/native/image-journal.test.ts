import { expect } from 'chai';
import { journalOfHeld, journalSince } from '../../../agent/engines/native/image-journal.ts';
import type { HoldFacts, JournalFile } from '../../../agent/engines/native/hold-facts.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';

// Goal: an image gets every journal file up to the mark and none behind it, or nothing at all. Method: lists of files
// as they are found, against what was there at the mark.

const LENGTH = 30;

/** Names from text, in their order; a length behind `:`, else 100. */
function files(text: string): JournalFile[] {
  return text
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => {
      const [name = '', sizeBytes = '100'] = word.split(':');
      return { name, sizeBytes: Number(sizeBytes) };
    });
}

function imaged(text: string): { member: string; image: string; files: JournalFile[] } {
  return { member: 'a1', image: 'monday', files: files(text) };
}

function facts(journalFile: string, atMark: string, firstJournalFile: string | null = null): HoldFacts {
  return {
    kind: 'node',
    journalDirectory: 'journal',
    firstJournalFile,
    journalFile,
    length: LENGTH,
    digest: null,
    journalAtMark: files(atMark),
    content: null,
  };
}

function archive(text: string): { directory: string; files: JournalFile[] } {
  return { directory: '/srv/journals', files: files(text) };
}

/** What is taken, as `name` of the image and `+name` of the journals, with `|` behind the one that is cut; or why not. */
function taken(work: () => ReturnType<typeof journalSince>): string {
  try {
    return work()
      .map(
        ({ name, from, length }) => `${from === 'journals' ? '+' : ''}${name}${length === LENGTH ? '|' : ''}`,
      )
      .join(' ');
  } catch (error) {
    if (error instanceof StillpointError) return `${error.failure.code}: ${error.failure.message}`;
    throw error;
  }
}

describe('the journal of an image that was made while files did not change', () => {
  const held = (image: string, atMark: string, isStill: boolean): string =>
    taken(() => journalOfHeld(imaged(image), { ...facts('07', atMark), firstJournalFile: '05' }, isStill));

  it('is the image’s own, from the first that its database files need to the mark, cut there [S64] [S90]', () => {
    expect(held('04 05 06 07:30 08:9', '04 05 06 07:30 08:0', false)).to.equal('05 06 07|');
    expect(held('05 06 07:30 08:0', '05 06 07:30 08:0', true)).to.equal('05 06 07|');
  });

  it('is refused where the file that ended at the checkpoint is not in the image, or any before it [S66]', () => {
    expect(held('05 06', '05 06 07:30 08:0', false)).to.match(/^journal-missing: a1: .* monday .*: 07 \(/);
    expect(held('05 07:30', '05 06 07:30 08:0', false)).to.match(/^journal-missing: .*: 06 \(/);
    expect(held('05 06:99 07:30', '05 06 07:30 08:0', false)).to.match(/06 \(cut: 99 of 100 bytes\)/);
  });

  it('is refused where a journal file of later, or of somebody else, lies in an image of a quiesce [S60] [S62]', () => {
    expect(held('05 06 07:30 08:0 09', '05 06 07:30 08:0', true)).to.match(/^journal-foreign: .* 09 /);
    expect(held('05 06 07:30 08:5', '05 06 07:30 08:0', true)).to.match(
      /^journal-foreign: .* 08 .*is 5 bytes/,
    );
    expect(held('05 055 06 07:30', '05 06 07:30 08:0', true)).to.match(/^journal-foreign: .* 055 /);
  });
});

describe('the journal of an image that was made at any time before', () => {
  const since = (image: string, archived: string | null, atMark = '09 10 11', mark = '10'): string =>
    taken(() =>
      journalSince(imaged(image), facts(mark, atMark), archived === null ? null : archive(archived)),
    );

  it('goes from the image to the mark and no further, and what was being written then is taken whole [S57]', () => {
    expect(since('05 06 07:9', '07 08 09 10 11 12')).to.equal('05 06 +07 +08 +09 +10|');
    expect(since('05 06 07:9', '04 05 06 07 08 09 10')).to.equal('+05 +06 +07 +08 +09 +10|');
  });

  it('is refused where any file is missing, wherever in the row, and says which [S59]', () => {
    for (const gone of ['07', '08', '09', '10']) {
      const left = ['07', '08', '09', '10'].filter((name) => name !== gone).join(' ');
      expect(since('05 06 07:9', left)).to.match(new RegExp(`^journal-missing: .*missing: ${gone} \\(`));
    }
    expect(since('05 06 07:9', '07 08')).to.match(
      /missing: 09, 10 \(not in the image, nor in \/srv\/journals\)/,
    );
    expect(since('05 06 07:9', null)).to.match(/07, 08, 09 and 1 more \(not whole .*names no journals/);
  });

  it('is refused where a file is shorter than it was at the mark [S59]', () => {
    expect(since('05 06 07:9', '07 08 09:50 10')).to.match(/^journal-missing: .*09 \(cut: 50 of 100 bytes\)/);
  });

  it('is refused where names do not show that nothing is missing, and taken where the image reaches that far', () => {
    expect(since('a d h:9', 'h k m p', 'k p t', 'p')).to.match(/^journal-missing: .*between h and k/);
    expect(since('a d h:9', 'h k p', 'd h k p t', 'p')).to.equal('a d +h +k +p|');
  });

  it('takes nothing from the image where a process keeps files for later: any may have been the one in use', () => {
    expect(since('05 06 07:9 08 09', '08 09 10', '09 10 11 12 13')).to.match(
      /missing: 05, 06, 07 \(not whole/,
    );
    expect(since('05 06 07:9 08 09', '05 06 07 08 09 10', '09 10 11 12 13')).to.match(/^\+05 .* \+10\|$/);
  });

  it('is refused to an image that is later than the checkpoint: it has what the mark has not [S58]', () => {
    expect(since('05 06 12', '05 06 07 08 09 10')).to.match(/^image-unfit: .* 12, which is later/);
    expect(since('12 13', '10 11 12')).to.match(/^image-unfit: .* 12, which is later/);
  });

  it('is refused to files of another row of numbers', () => {
    expect(since('x05 x06', 'x06 10', '10 11')).to.match(/^image-unfit|^journal-foreign/);
    expect(since('005 006', '006 10', '10 11')).to.match(/^journal-foreign: .*not of one row of numbers/);
  });
});
