#include "index/function_words.h"

#include <algorithm>
#include <map>

namespace fovea::index {
namespace {

// Without marks, as words are compared. Letters that stay behind an apostrophe are left out: they
// are sizes and names too.
constexpr std::string_view kEnglish =
    "a an the this that these those "
    "i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his "
    "himself "
    "she her hers herself it its itself they them their theirs themselves "
    "who whom whose which what where when why how "
    "am is are was were be been being have has had having do does did doing done "
    "can could may might must shall should will would "
    "and or but nor if then than so as because while until unless although though whether "
    "of at by for with about against between into through during before after above below to from "
    "up down "
    "in out on off over under upon within without toward towards among "
    "again further once here there all any both each every few more most other another some such "
    "no nor not "
    "only own same too very just also ever";

constexpr std::string_view kGerman =
    "der die das den dem des ein eine einer einem einen eines kein keine keiner keinem keinen "
    "keines "
    "dieser diese dieses diesem diesen jener jene jenes jenem jenen jeder jede jedes jedem jeden "
    "ich mich mir mein meine meiner meinem meinen meines du dich dir dein deine deiner deinem "
    "deinen deines "
    "er ihn ihm sein seine seiner seinem seinen seines sie ihr ihre ihrer ihrem ihren ihres es man "
    "sich "
    "wir uns unser unsere unserer unserem unseren euch euer eure eurer eurem euren "
    "wer wen wem wessen was welcher welche welches welchem welchen wo wann warum wie "
    "bin bist ist sind seid war warst waren wart gewesen werde wirst wird werden werdet wurde "
    "wurden worden "
    "habe hast hat haben habt hatte hatten kann konnen konnte konnten muss mussen musste mussten "
    "soll sollen sollte sollten will wollen wollte wollten darf durfen "
    "und oder aber denn weil wenn als ob dass sondern damit so zu nicht nur auch noch sehr schon "
    "in im an am auf aus bei beim mit nach von vom vor fur uber unter zwischen durch gegen ohne um "
    "bis zum zur "
    "hier da dort dann hin her alle allem allen aller alles";

constexpr std::string_view kFrench =
    "le la les l un une des du de d au aux ce cet cette ces "
    "je me moi mon ma mes tu te toi ton ta tes il elle on se soi son sa ses lui nous notre nos "
    "vous votre vos "
    "ils elles leur leurs eux y en "
    "qui que quoi dont ou quel quelle quels quelles quand comment pourquoi "
    "suis es est sommes etes sont etait etaient ete etre sera seront ai as a avons avez ont avait "
    "avaient avoir "
    "fait faire peut peuvent doit doivent "
    "et mais donc or ni car si comme parce puisque lorsque "
    "a dans par pour sur sous avec sans entre vers chez contre depuis pendant avant apres "
    "ne pas plus moins tres tout toute tous toutes meme aussi encore bien ici la c j m n s t qu";

constexpr std::string_view kSpanish =
    "el la los las lo un una unos unas al del este esta estos estas ese esa esos esas aquel "
    "aquella aquellos aquellas "
    "yo me mi mis mio tu te ti tus tuyo el ella ello se si su sus suyo nosotros nos nuestro "
    "nuestra nuestros nuestras "
    "vosotros os vuestro vuestra ellos ellas les le usted ustedes "
    "que quien quienes cual cuales cuyo cuya donde cuando como por porque "
    "soy eres es somos son era eran fue fueron ser sido sera estoy estas estan estaba estaban "
    "estar "
    "he has ha hemos han habia habian haber hay tiene tienen puede pueden debe deben "
    "y e o u pero sino ni aunque mientras pues "
    "a ante bajo con contra de desde durante en entre hacia hasta para segun sin sobre tras "
    "no mas muy menos ya tan tanto todo toda todos todas otro otra otros otras mismo misma tambien "
    "solo aqui alli";

constexpr std::string_view kItalian =
    "il lo la i gli le l un uno una del dello della dei degli delle al allo alla ai agli alle dal "
    "dallo dalla dai "
    "dagli dalle nel nello nella nei negli nelle sul sullo sulla sui sugli sulle col "
    "questo questa questi queste quello quella quelli quelle quel quei quegli "
    "io me mi mio mia miei mie tu te ti tuo tua tuoi tue egli lui lei esso essa si se suo sua suoi "
    "sue noi ci nostro "
    "nostra nostri nostre voi vi vostro vostra vostri vostre essi esse loro ne "
    "che chi cui quale quali dove quando come perche "
    "sono sei e siamo siete era erano fu furono essere stato stata stati state sara saranno "
    "ho hai ha abbiamo avete hanno aveva avevano avere fa fare puo possono deve devono "
    "ed o od ma anche se mentre poiche di a da in con su per tra fra senza sotto sopra verso "
    "contro "
    "non piu meno molto tutto tutta tutti tutte altro altra altri altre stesso stessa solo ancora "
    "gia qui qua li";

constexpr std::string_view kPortuguese =
    "o a os as um uma uns umas ao aos do da dos das no na nos nas num numa pelo pela pelos pelas "
    "este esta estes estas esse essa esses essas aquele aquela aqueles aquelas isto isso aquilo "
    "eu me mim meu minha meus minhas tu te ti teu tua teus tuas ele ela se si seu sua seus suas "
    "lhe lhes "
    "nos nosso nossa nossos nossas vos vosso vossa eles elas voce voces "
    "que quem qual quais cujo cuja onde quando como porque "
    "sou es e somos sao era eram foi foram ser sido sera estou esta estao estava estavam estar "
    "tenho tem temos tinha tinham ter ha havia haver pode podem deve devem "
    "ou mas nem se embora enquanto pois de em por para com sem sob sobre entre ate desde contra "
    "apos "
    "nao mais muito menos ja tao todo toda todos todas outro outra outros outras mesmo mesma "
    "tambem so aqui ali";

constexpr std::string_view kDutch =
    "de het een deze dit die dat "
    "ik me mij mijn jij je jou jouw hij hem zijn zij ze haar het zich wij we ons onze jullie u uw "
    "hun hen "
    "wie wat welke welk waar wanneer waarom hoe "
    "ben bent is zijn was waren geweest word wordt worden werd werden heb hebt heeft hebben had "
    "hadden "
    "kan kunnen kon konden moet moeten moest mag mogen zal zullen zou zouden wil willen "
    "en of maar want omdat als dan dus toen terwijl "
    "in op aan bij met naar van voor door over onder tussen tegen tot uit om te zonder na tijdens "
    "binnen buiten "
    "niet geen wel ook nog al er hier daar zo zeer meer meest veel alle alles ander andere elk "
    "elke";

std::unordered_set<std::string_view> words_of(std::string_view list) {
  std::unordered_set<std::string_view> words;
  while (!list.empty()) {
    const auto end = std::min(list.find(' '), list.size());
    if (end > 0) words.insert(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return words;
}

}  // namespace

const std::unordered_set<std::string_view>& function_words(const std::string& language) {
  static const std::map<std::string_view, std::unordered_set<std::string_view>> lists = {
      {"dutch", words_of(kDutch)},     {"english", words_of(kEnglish)},
      {"french", words_of(kFrench)},   {"german", words_of(kGerman)},
      {"italian", words_of(kItalian)}, {"portuguese", words_of(kPortuguese)},
      {"spanish", words_of(kSpanish)}};
  static const std::unordered_set<std::string_view> none;
  const auto found = lists.find(language);
  return found == lists.end() ? none : found->second;
}

}  // namespace fovea::index
