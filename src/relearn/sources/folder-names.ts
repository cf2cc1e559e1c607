/**
 * What mail programs and servers call the folders with a use of their own, in the languages that
 * they come in: Outlook and Exchange, Kopano, Thunderbird, Apple Mail, Gmail, and what servers make
 * by themselves. Case, accents, blanks and punctuation don't matter, so that `Junk E-mail` is there
 * for `.Junk-E-Mail` as well, and `Gelöschte Elemente` for `Geloeschte_Elemente`.
 *
 * In this order: English, German, Dutch, French, Italian, Spanish, Catalan, Portuguese, Romanian,
 * Danish, Swedish, Norwegian, Finnish, Icelandic, Polish, Czech, Slovak, Slovene, Croatian,
 * Hungarian, Estonian, Latvian, Lithuanian, Russian, Ukrainian, Bulgarian, Serbian, Greek, Turkish,
 * Hebrew, Arabic, Japanese, Chinese, Korean, Thai, Vietnamese, Indonesian.
 */
export const FOLDER_NAMES = {
  junk: names(`
    junk, junk e-mail, junk mail, junk messages, junk suspects, junk items, spam, spam mail,
    spam messages, spams, spambox, spamverdacht, spambucket, bulk, bulk mail, probable spam,
    probably spam, possible spam, suspected spam, caught spam, confirmed spam, quarantine,
    unsolicited, Junk-E-Mail-Ordner, Spam-Ordner, Spam-Mails, Unerwünscht, Unerwünschte Werbung,
    Unerwünschte Nachrichten, Unerwünschte E-Mails, Quarantäne, Ongewenste e-mail,
    Ongewenste mail, Ongewenste berichten, Ongewenst, Courrier indésirable, Indésirables,
    Messages indésirables, Pourriel, Pourriels, Éléments indésirables, Courriers indésirables,
    Courriel indésirable, Posta indesiderata, Indesiderata, Posta spazzatura,
    Messaggi indesiderati, Correo no deseado, Correo electrónico no deseado, No deseado,
    Correo basura, Mensajes no deseados, Basura, Correu brossa, Correu no desitjat, Brossa,
    Lixo eletrônico, Lixo electrónico, Correio publicitário não solicitado,
    Correio eletrônico não solicitado, Correio não solicitado, E-mail de lixo,
    Correspondență nedorită, E-mailuri nedorite, Mesaje nedorite, Nedorite, Uønsket mail,
    Uønsket e-mail, Uønsket post, Uønsket, Skräppost, Skräp, Søppelpost, Søppel-e-post,
    Useriøs e-post, Roskaposti, Ei-toivottu, Ruslpóstur, Wiadomości-śmieci, Wiadomości śmieci,
    Niechciane, Niechciana poczta, Nevyžádaná pošta, Nevyžiadaná pošta, Nevyžádané,
    Neželena pošta, Neželena e-pošta, Neželjena pošta, Levélszemét, Szemét levelek, Rämpspost,
    Mēstules, Surogātpasts, Pašto šiukšlės, Brukalas, Nepageidaujami, Нежелательная почта, Спам,
    Небажана пошта, Небажана електронна пошта, Нежелана поща, Непожелателна поща, Нежељена пошта,
    Непожељна пошта, Ανεπιθύμητη αλληλογραφία, Ανεπιθύμητα, Ανεπιθύμητη, Önemsiz, Önemsiz E-posta,
    Gereksiz, Gereksiz e-posta, İstenmeyen, İstenmeyen posta, İstenmeyen e-posta, דואר זבל, ספאם,
    البريد غير الهام, البريد العشوائي, غير مرغوب, رسائل غير مرغوبة, 迷惑メール,
    迷惑メールフォルダ, スパム, 垃圾邮件, 垃圾郵件, 垃圾电子邮件, 垃圾信件, 廣告信件, 정크 메일,
    정크메일, 스팸, 스팸 메일함, 스팸메일함, อีเมลขยะ, จดหมายขยะ, Thư rác, Email Sampah,
    Surel sampah
  `),
  trash: names(`
    trash, deleted, deleted items, deleted messages, deleted mail, trashcan, trash can,
    wastebasket, recycle bin, recyclebin, expunged, trashed, Gelöscht, Gelöschte Elemente,
    Gelöschte Objekte, Gelöschte Nachrichten, Gelöschte E-Mails, Gelöschte Mails, Papierkorb,
    Müll, Verwijderde items, Verwijderd, Verwijderde berichten, Prullenbak, Prullenmand,
    Corbeille, Éléments supprimés, Messages supprimés, Supprimés, Poubelle, Posta eliminata,
    Eliminata, Elementi eliminati, Messaggi eliminati, Cestino, Elementos eliminados,
    Mensajes eliminados, Eliminados, Papelera, Suprimidos, Elements suprimits, Paperera,
    Itens excluídos, Itens Eliminados, Excluídos, Lixeira, Lixo, Mensagens excluídas,
    Mensagens eliminadas, Reciclagem, Elemente șterse, Coș de gunoi, Coș, Mesaje șterse, Șterse,
    Slettet post, Slettede elementer, Slettede beskeder, Slettet, Slettede meldinger, Papirkurv,
    Papirkurven, Borttaget, Borttagna objekt, Papperskorgen, Papperskorg, Raderade, Raderat,
    Søppel, Søppelkasse, Poistetut, Poistetut viestit, Roskakori, Eytt atriði, Rusl,
    Elementy usunięte, Usunięte, Kosz, Odstraněná pošta, Odstraněné, Koš, Odstránená pošta,
    Odstránené položky, Kôš, Izbrisano, Smeti, Smeće, Otpad, Izbrisane stavke, Törölt elemek,
    Törölt, Kuka, Lomtár, Kustutatud, Prügikast, Kustutatud üksused, Dzēstie, Izdzēstie vienumi,
    Atkritne, Panaikinta, Šiukšlinė, Удаленные, Удалённые, Корзина, Удаленные сообщения, Видалені,
    Видалене, Кошик, Смітник, Изтрити, Кошче, Избрисане ставке, Смеће, Отпад, Διαγραμμένα,
    Διαγραμμένα στοιχεία, Απορρίμματα, Κάδος, Κάδος απορριμμάτων, Silinmiş Öğeler, Silinmiş,
    Silinen, Silinmiş mesajlar, Çöp, Çöp Kutusu, פריטים שנמחקו, אשפה, פח, العناصر المحذوفة,
    المحذوفات, المهملات, سلة المهملات, 削除済みアイテム, 削除済み, ゴミ箱, ごみ箱, 已删除邮件,
    已刪除的郵件, 已删除, 已删除邮件夹, 刪除的郵件, 已刪除, 垃圾箱, 垃圾桶, 废件箱, 回收站,
    지운 편지함, 지운 편지, 휴지통, 삭제된 편지함, รายการที่ถูกลบ, ถังขยะ, Thùng rác, Mục đã xóa,
    Item Terhapus, Tempat sampah, Sampah
  `),
  drafts: names(`
    drafts, draft, draft messages, Entwürfe, Entwurf, Concepten, Brouillons, Brouillon, Bozze,
    Bozza, Borradores, Borrador, Esborranys, Rascunhos, Rascunho, Schițe, Ciorne, Kladder, Udkast,
    Utkast, Luonnokset, Luonnos, Drög, Wersje robocze, Szkice, Robocze, Kopie robocze, Koncepty,
    Rozepsané, Rozpracované, Osnutki, Skice, Piszkozatok, Vázlatok, Mustandid, Melnraksti,
    Uzmetumi, Juodraščiai, Черновики, Чернетки, Чернови, Нацрти, Недовршено, Πρόχειρα, Taslaklar,
    Taslak, טיוטות, مسودات, المسودات, 下書き, 草稿, 草稿箱, 草稿匣, 임시 보관함, 임시보관함,
    แบบร่าง, ร่างจดหมาย, Thư nháp, Bản nháp, Konsep, Draf
  `),
  sent: names(`
    sent, sent items, sent mail, sent messages, sent-mail, sentbox, sent box, outbox,
    unsent messages, Gesendet, Gesendete Elemente, Gesendete Objekte, Gesendete Nachrichten,
    Gesendete E-Mails, Postausgang, Verzonden items, Verzonden, Verzonden berichten, Postvak UIT,
    Éléments envoyés, Messages envoyés, Envoyés, Boîte d’envoi, Posta inviata, Inviata,
    Elementi inviati, Messaggi inviati, Inviati, Posta in uscita, Elementos enviados, Enviados,
    Mensajes enviados, Bandeja de salida, Elements enviats, Enviats, Itens enviados,
    Mensagens enviadas, Caixa de saída, A Enviar, Elemente trimise, Trimise, Mesaje trimise,
    Sendt post, Sendte elementer, Sendt, Udbakke, Utboks, Sendte meldinger, Skickat,
    Skickade objekt, Skickade, Utkorg, Utkorgen, Lähetetyt, Lähetetyt viestit, Lähtevät,
    Sent atriði, Elementy wysłane, Wysłane, Skrzynka nadawcza, Odeslaná pošta, Odeslané,
    Pošta k odeslání, Odoslaná pošta, Odoslané, Poslano, Poslane stavke, Elküldött elemek,
    Elküldött, Postázandó üzenetek, Saadetud, Saadetud üksused, Nosūtītie, Nosūtītie vienumi,
    Išsiųsta, Išsiųstieji, Отправленные, Исходящие, Надіслані, Вихідні, Изпратени, Послато,
    Послате ставке, Απεσταλμένα, Εξερχόμενα, Gönderilmiş Öğeler, Gönderilmiş, Gönderilen,
    Giden Kutusu, פריטים שנשלחו, נשלחו, العناصر المرسلة, المرسل, البريد المرسل, 送信済みアイテム,
    送信済み, 送信済みメール, 送信トレイ, 已发送邮件, 已发送, 寄件備份, 已传送邮件, 寄件匣,
    发件箱, 傳送的郵件, 보낸 편지함, 보낸편지함, 보낼 편지함, รายการที่ถูกส่ง, จดหมายที่ส่งแล้ว,
    Thư đã gửi, Mục đã gửi, Item Terkirim, Terkirim
  `),
  inbox: names(`
    inbox, in box, Posteingang, Postvak IN, Boîte de réception, Boîte d’arrivée, Posta in arrivo,
    Bandeja de entrada, Entrada, Safata d’entrada, Caixa de entrada, A receber, Mesaje primite,
    Indbakke, Inkorg, Inkorgen, Innboks, Saapuneet, Postilaatikko, Innhólf, Skrzynka odbiorcza,
    Odebrane, Doručená pošta, Doručené, Prejeto, Ulazna pošta, Pristigla pošta,
    Beérkezett üzenetek, Beérkezett, Bejövő levelek, Sisendkaust, Saabunud, Iesūtne, Iesūtnis,
    Gautieji, Gauta, Gautieji laiškai, Входящие, Вхідні, Входяща поща, Входящи, Пријемно сандуче,
    Εισερχόμενα, Gelen Kutusu, Gelen, תיבת דואר נכנס, דואר נכנס, علبة الوارد, الوارد, 受信トレイ,
    受信箱, 收件箱, 收件匣, 받은 편지함, 받은편지함, กล่องขาเข้า, กล่องจดหมาย, Hộp thư đến,
    Kotak Masuk
  `),
} as const;

export type FolderUse = keyof typeof FOLDER_NAMES;

function names(text: string): readonly string[] {
  return text.split(',').map((name) => name.trim());
}
