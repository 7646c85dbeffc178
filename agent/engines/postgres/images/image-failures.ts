import { EXIT, StillpointError } from '../../../../shared/domain/errors.ts';

// What keeps an operator's image from being restored. All of it is found before anything is written.

export function imageMissing(name: string, root: string): StillpointError {
  return refused(
    'image-missing',
    `there is no image ${name}: no such directory in ${root}`,
    'name a directory below it that holds a copy of the data directory; is its disk mounted?',
  );
}

export function imageUnfit(name: string, root: string, fact: string, hint: string): StillpointError {
  return refused('image-unfit', `the image ${name} in ${root} ${fact}`, hint);
}

export function imageChanged(name: string, path: string): StillpointError {
  return refused(
    'image-changed',
    `${path} of the image ${name} is not what it was when it was read`,
    'an image must stay as it is, and no server be started on it: copy anew, into a new set',
  );
}

export function journalMissing(member: string, fact: string, hint: string): StillpointError {
  return refused('journal-missing', `${member}: ${fact}`, hint);
}

export function journalForeign(member: string, fact: string, hint: string): StillpointError {
  return refused('journal-foreign', `${member}: ${fact}`, hint);
}

function refused(code: string, message: string, hint: string): StillpointError {
  return new StillpointError({ code, message, hint }, EXIT.refused);
}
