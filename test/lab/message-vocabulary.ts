/**
 * What made messages are about: grammatical sentences with slots, and words for the slots.
 *
 * Plain language without URLs, addresses or figures with dots: rspamd 3.4 recognises such a message
 * again by its tokens, while of random words or URLs it is not sure.
 */

/** The language of one class of messages. A slot `{name}` takes one of `words.name`. */
export interface Vocabulary {
  readonly senders: readonly string[];
  readonly subjects: readonly string[];
  readonly greetings: readonly string[];
  readonly sentences: readonly string[];
  readonly farewells: readonly string[];
  readonly words: Readonly<Record<string, readonly string[]>>;
}

/** Offers that nobody asked for. */
export const SPAM_VOCABULARY: Vocabulary = {
  senders: [
    'Lucky Winner Desk',
    'Global Prize Office',
    'Discount Pharmacy',
    'Fast Credit Team',
    'Casino Royal Bonus',
    'Miracle Health Store',
    'Private Banking Offer',
    'Luxury Watches Outlet',
  ],
  subjects: [
    '{shout} your {prize} is waiting',
    'Lose {weight} with our {remedy}',
    'You have been approved for a {loan}',
    '{shout} {discount} on every {goods}',
    'Confidential proposal about {fortune}',
    'Claim your {prize} before {deadline}',
    'Doctors are amazed by this {remedy}',
    'Final notice: your {prize} expires {deadline}',
  ],
  greetings: [
    'Dear lucky winner,',
    'Dear valued customer,',
    'Hello my dear friend,',
    'Attention beneficiary,',
    'Congratulations dear subscriber,',
    'Dearest one,',
  ],
  sentences: [
    'You have been selected at random to receive {prize} from our sponsors.',
    'Act now, because this {adjective} offer ends {deadline} and will never be repeated.',
    'Our {remedy} melts away {weight} without any diet or exercise.',
    'Thousands of satisfied customers already enjoy {discount} on {goods}.',
    'No credit check is needed for your {loan}, and bad credit is no problem.',
    'Simply reply with your {secret} and we release {fortune} to you.',
    'I am {person} and I wish to transfer {fortune} out of my country.',
    'You keep {share} of the sum and the transaction is completely free of risk.',
    'Order {goods} today and get {gift} absolutely free.',
    'We guarantee {result} or your money back, no questions asked.',
    'This is not a hoax, and it is one hundred percent legal.',
    'Your computer was chosen by {person} for the {adjective} jackpot of the season.',
    'Earn {income} from home while you sleep.',
    'Secretive bankers do not want you to know about this {adjective} method.',
    'Buy genuine {goods} at {discount} with discreet overnight shipping.',
    'Women cannot resist a man who uses our {remedy}.',
    'Double your winnings at our {adjective} casino with {gift}.',
    'Your {loan} is approved in minutes and the cash arrives {deadline}.',
    'Only {number} places are left for this {adjective} programme.',
    'Click the button below and unlock {gift} before {deadline}.',
    'My late husband, {person}, deposited {fortune} with a security company.',
    'Refinance your mortgage now and save {income} on your payments.',
    'Our pills bring {result} and ship without a prescription.',
    'Penny stock insiders expect {result} from this {adjective} ticker.',
    'Please treat this matter with utmost secrecy until {fortune} is released.',
    'We are the cheapest supplier of {goods} on the whole planet.',
    'Pay only the small processing fee and collect {prize} {deadline}.',
    'Stop paying full price for {goods} and demand {discount} instead.',
    'The lottery board has confirmed {prize} in your name.',
    'Say goodbye to {weight} forever with one {adjective} capsule a day.',
  ],
  farewells: [
    'Hurry and claim it now!',
    'Do not miss this once in a lifetime chance!',
    'Yours in urgent confidence',
    'God bless you richly',
    'Your prize coordinator',
    'To your wealth and success',
  ],
  words: {
    shout: list(`Urgent, Amazing, Congratulations, Hot deal, Last chance, Exclusive, Wow,
      Special alert`),
    adjective: list(`incredible, exclusive, unbeatable, sensational, secret, miraculous,
      guaranteed, phenomenal, unbelievable, limited`),
    prize: list(`a brand new luxury car, the grand lottery jackpot, a golden gift voucher, a
      free cruise to the Bahamas, the million dollar sweepstake, a diamond wristwatch, an all
      inclusive casino weekend, a prepaid platinum card`),
    remedy: list(`herbal slimming capsule, miracle fat burner, potency pill, anti ageing serum,
      natural testosterone booster, hair growth tonic, organic detox tea, pain relief patch`),
    weight: list(`thirty pounds, stubborn belly fat, ten kilos in a week, ugly wrinkles, all
      excess weight, two dress sizes, cellulite, a double chin`),
    loan: list(`personal loan, instant cash advance, low interest mortgage, unsecured credit
      line, debt consolidation loan, payday advance, platinum credit card, business loan`),
    discount: list(`eighty percent off, a massive discount, rock bottom prices, wholesale
      prices, half price savings, unbeatable bargains, clearance prices, ninety percent savings`),
    goods: list(`replica watches, designer handbags, brand name pills, cheap software licences,
      luxury sunglasses, generic medication, imitation jewellery, inkjet cartridges, satellite
      decoders, sleeping tablets`),
    fortune: list(`eighteen million dollars, an unclaimed inheritance, a dormant bank account,
      the sum of nine million euros, a trunk full of gold bars, the contract payment, a secret
      trust fund, the estate of a deceased client`),
    deadline: list(`tonight at midnight, within the hour, before the weekend, in twenty four
      hours, today only, by tomorrow morning, before the month ends, in ten minutes`),
    secret: list(`bank account number, full name and telephone number, credit card details,
      passport copy, date of birth, online banking password, social security number, home
      address and age`),
    person: list(`Barrister Johnson Okafor, Princess Amina Bello, Doctor Raymond Lucas, General
      Tobias Mensah, Madame Celestine Dupont, Mister Franklin Goodwill, Colonel Peter Adewale,
      Sister Margaret Hope`),
    share: list(`thirty percent, forty percent, one half, a generous quarter, twenty five
      percent, a handsome third, ten percent, one fifth`),
    gift: list(`a hundred free spins, a bonus bottle, a mystery present, a welcome bonus, free
      lifetime membership, a second pack, a secret ebook, two cinema vouchers`),
    result: list(`visible results in seven days, explosive profits, total satisfaction, stronger
      performance, financial freedom, eternal youth, a triple return, perfect skin`),
    income: list(`five thousand dollars a week, a fortune every month, hundreds of dollars a
      day, a six figure income, easy money, thousands in cash, a second salary, unlimited
      commission`),
    number: ['three', 'seven', 'nine', 'twelve', 'fifteen', 'twenty', 'forty', 'fifty'],
  },
};

/** The mail of an office and a family. */
export const HAM_VOCABULARY: Vocabulary = {
  senders: [
    'Anna Weber',
    'Jonas Keller',
    'Marta Lindqvist',
    'Peter Vogel',
    'Sophie Brandt',
    'Thomas Hartmann',
    'Claire Mercier',
    'Erik Johansen',
  ],
  subjects: [
    'Minutes of the {meeting}',
    'Question about the {document}',
    'Re: {topic} on {weekday}',
    'The {document} for {client}',
    'Moving the {meeting} to {weekday}',
    'Notes on {topic}',
    '{weekday} lunch and the {meeting}',
    'Re: draft of the {document}',
  ],
  greetings: [
    'Hi Anna,',
    'Hello Jonas,',
    'Dear colleagues,',
    'Good morning Marta,',
    'Hi everybody,',
    'Dear Peter,',
  ],
  sentences: [
    'Thank you for sending the {document}, I read it on the train this morning.',
    'Could we move the {meeting} to {weekday} {daytime}?',
    'I talked to {colleague} about {topic} and we agree on most points.',
    'The {document} still lacks the figures for {period}.',
    '{colleague} will bring the projector to the {meeting}.',
    'Please have a look at page {number} of the {document} before {weekday}.',
    '{client} asked whether we can deliver the {part} one week earlier.',
    'I have booked the {room} for {weekday} {daytime}.',
    'The server in the {room} was restarted {daytime} and runs normally again.',
    'As discussed in the {meeting}, {colleague} takes over {topic}.',
    'Would you mind checking the {part} once more with {client}?',
    'The children have a school concert on {weekday}, so I leave the office early.',
    'Let me know if the {document} needs another round of corrections.',
    'We found the cause of the failing {part} and {colleague} is preparing a fix.',
    'Our budget for {topic} covers {period}, but not the travel expenses.',
    'I will be on holiday during {period}, and {colleague} looks after {topic}.',
    'The {room} will be painted on {weekday}, so please clear your desks.',
    'Attached you find the {document} with the remarks from {client}.',
    'The train to {city} was late again and I missed the {meeting}.',
    'Shall we have lunch in {city} after the visit to {client}?',
    'For {topic} we need the signature of {colleague} on the {document}.',
    'The warehouse in {city} has {number} of the {part} in stock.',
    'My mother sends her regards and hopes to see you in {city}.',
    'I updated the wiki page about {topic} with what we learned in the {meeting}.',
    'Could {colleague} call {client} back on {weekday} {daytime}?',
    'The review of the {part} went well, only {number} small remarks are open.',
    'In the {meeting} we counted {number} open questions about {topic}.',
    'Please remember to hand in your time sheet for {period}.',
    'The weather in {city} was lovely, and the garden behind the house is in bloom.',
    'I suggest that we test the {part} in {city} before we talk to {client}.',
  ],
  farewells: [
    'Kind regards',
    'See you tomorrow',
    'Many thanks and best wishes',
    'Have a nice evening',
    'Talk to you later',
    'With best regards from the office',
  ],
  words: {
    meeting: list(`project meeting, weekly stand up, budget review, planning workshop, board
      meeting, design review, kick off, staff assembly, parents evening, telephone conference`),
    document: list(`quarterly report, draft contract, travel plan, requirements list, seating
      plan, invoice overview, test protocol, user manual, meeting agenda, delivery note`),
    topic: list(`the database migration, the office move, the new phone system, the apprentice
      programme, the summer party, the backup schedule, the heating repair, the customer survey,
      the library catalogue, the bicycle shed`),
    colleague: list(`Sabine from accounting, our new trainee, Michael, the facility manager,
      Henrik in purchasing, Professor Lang, Frau Neumann, the night shift, Olivia from support,
      my deputy`),
    client: list(`the city council, the hospital in Lund, the publisher, our Danish partner, the
      Steiner bakery, the insurance office, the architects, the music school`),
    weekday: ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'],
    daytime: list(`in the morning, at ten, after lunch, in the late afternoon, at half past
      three, before noon, around four, in the evening`),
    period: list(`the third quarter, the second half of March, the school holidays, the last
      fiscal year, calendar week twelve, the first weeks of autumn, the whole of October, the
      Easter week`),
    room: list(`small conference room, server room, canteen, library, workshop, meeting room on
      the second floor, archive, reception`),
    part: list(`pump housing, import script, access badges, front cover, sensor board, spare
      keys, login page, shelf brackets, calendar export, filter modules`),
    city: ['Hamburg', 'Delft', 'Uppsala', 'Basel', 'Aarhus', 'Leipzig', 'Ghent', 'Graz'],
    number: ['four', 'six', 'eight', 'eleven', 'thirteen', 'sixteen', 'eighteen', 'thirty'],
  },
};

/** The phrases between commas; a line break is a space. */
function list(text: string): readonly string[] {
  return text.replaceAll(/\s+/g, ' ').split(', ');
}
